/* test_crypto.c - common/crypto against the vectors of the standards */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"

static void test_sha256(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } cases[] = {
        /* FIPS 180-4 examples */
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hex[SHA256_HEX_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sha256_hex(cases[i].text, strlen(cases[i].text), hex);
        assert_string_equal(hex, cases[i].hex);
    }
    sha256_hex(NULL, 0, hex);
    assert_string_equal(hex, cases[0].hex);
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    sha256_hex(million, 1000000, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

static void test_sha256_of_two_pieces(void **state)
{
    (void)state;
    uint8_t whole[SHA256_SIZE], joined[SHA256_SIZE];
    const char *text = "abcdef";
    sha256(text, 6, whole);
    for (size_t cut = 0; cut <= 6; cut++) {
        sha256_two(text, cut, text + cut, 6 - cut, joined);
        assert_memory_equal(whole, joined, SHA256_SIZE);
    }
}

/* RFC 4231 */
static void test_hmac(void **state)
{
    (void)state;
    static const struct {
        const char *key, *data, *hex; /* hex all of them */
    } cases[] = {
        {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t key[64], data[64], digest[SHA256_SIZE];
        size_t key_size = strlen(cases[i].key) / 2, size = strlen(cases[i].data) / 2;
        assert_int_equal(hex_decode(cases[i].key, key, key_size), 0);
        assert_int_equal(hex_decode(cases[i].data, data, size), 0);
        hmac_sha256(key, key_size, data, size, digest);
        char hex[SHA256_HEX_SIZE];
        hex_encode(digest, sizeof digest, hex);
        assert_string_equal(hex, cases[i].hex);
    }
    /* Test case 6: a key longer than a block. */
    uint8_t key[131], digest[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];
    memset(key, 0xaa, sizeof key);
    const char *text = "Test Using Larger Than Block-Size Key - Hash Key First";
    hmac_sha256(key, sizeof key, text, strlen(text), digest);
    hex_encode(digest, sizeof digest, hex);
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    hmac_sha256(NULL, 0, NULL, 0, digest);
    hex_encode(digest, sizeof digest, hex);
    assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* RFC 8032, 7.1: tests 1, 2, 3 */
static const struct {
    const char *key, *data, *signature;
} signatures[] = {
    {"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe246"
     "551"
     "41438e7a100b"},
    {"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb"
     "00d"
     "291612bb0c00"},
    {"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc"
     "027"
     "beceea1ec40a"},
};

/* RFC 8032, section 7.1: the private keys of the same three. */
static void test_ed25519_signs(void **state)
{
    (void)state;
    static const char *const private_keys[] = {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                                               "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                                               "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"};
    for (size_t i = 0; i < sizeof private_keys / sizeof private_keys[0]; i++) {
        uint8_t private_key[ED25519_KEY_SIZE], public_key[ED25519_KEY_SIZE], data[2], signature[ED25519_SIGNATURE_SIZE];
        char hex[2 * ED25519_SIGNATURE_SIZE + 1];
        size_t size = strlen(signatures[i].data) / 2;
        assert_int_equal(hex_decode(private_keys[i], private_key, sizeof private_key), 0);
        assert_int_equal(hex_decode(signatures[i].data, data, size), 0);
        ed25519_public(private_key, public_key);
        hex_encode(public_key, sizeof public_key, hex);
        assert_string_equal(hex, signatures[i].key);
        ed25519_sign(private_key, data, size, signature);
        hex_encode(signature, sizeof signature, hex);
        assert_string_equal(hex, signatures[i].signature);
    }
}

static void test_ed25519(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof signatures / sizeof signatures[0]; i++) {
        uint8_t key[ED25519_KEY_SIZE], data[2], signature[ED25519_SIGNATURE_SIZE];
        size_t size = strlen(signatures[i].data) / 2;
        assert_int_equal(hex_decode(signatures[i].key, key, sizeof key), 0);
        assert_int_equal(hex_decode(signatures[i].data, data, size), 0);
        assert_int_equal(hex_decode(signatures[i].signature, signature, sizeof signature), 0);
        assert_true(ed25519_verify(key, data, size, signature));
        for (size_t at = 0; at < sizeof signature; at++) {
            signature[at] ^= 1;
            assert_false(ed25519_verify(key, data, size, signature));
            signature[at] ^= 1;
        }
        assert_false(ed25519_verify(key, "other", 5, signature));
        key[0] ^= 1;
        assert_false(ed25519_verify(key, data, size, signature));
    }
}

/* S + L is another number with the same effect; accepting it would give one vote two signatures (RFC 8032, 8.4). */
static void test_ed25519_is_not_malleable(void **state)
{
    (void)state;
    uint8_t key[ED25519_KEY_SIZE], signature[ED25519_SIGNATURE_SIZE], order[32];
    assert_int_equal(hex_decode(signatures[0].key, key, sizeof key), 0);
    assert_int_equal(hex_decode(signatures[0].signature, signature, sizeof signature), 0);
    assert_int_equal(hex_decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010", order, 32), 0);
    unsigned carry = 0;
    for (int i = 0; i < 32; i++) {
        carry += signature[32 + i] + (unsigned)order[i];
        signature[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_false(ed25519_verify(key, "", 0, signature));
}

static void test_hex(void **state)
{
    (void)state;
    char text[9];
    uint8_t bytes[4] = {0};
    hex_encode("\x00\x7f\xab\xff", 4, text);
    assert_string_equal(text, "007fabff");
    assert_int_equal(hex_decode("007FabFF", bytes, 4), 0);
    assert_memory_equal(bytes, "\x00\x7f\xab\xff", 4);
    static const char *const wrong[] = {"", "007fabf", "007fabff0", "007fabfg", "007fab f", "0x7fabff", "007fab\xe9-"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(hex_decode(wrong[i], bytes, 4), -1);
    assert_memory_equal(bytes, "\x00\x7f\xab\xff", 4); /* untouched by failures */
}

/* RFC 4648, 10 */
static void test_base64(void **state)
{
    (void)state;
    static const struct {
        const char *data, *text;
    } cases[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xfe", "+//+"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[16];
        uint8_t data[8];
        size_t size = 99;
        base64_encode(cases[i].data, strlen(cases[i].data), text);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(base64_decode(cases[i].text, data, sizeof data, &size), 0);
        assert_int_equal(size, strlen(cases[i].data));
        assert_memory_equal(data, cases[i].data, size);
    }
}

static void test_base64_refuses(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "Zg",       "Zg=",      "Zg===", "Z===", "====", "Zh==",     "Zm9=",       "Zm9v\n",   "Zm 9v",
        "Zm9v Zm9", "Zg==Zg==", "Zm-_",  "=Zg=", "Z=g=", "Zm9vYg=a", "\xc3\xa9+/", "Zm9v====",
    };
    uint8_t data[16];
    size_t size = 99;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(base64_decode(wrong[i], data, sizeof data, &size), -1);
    assert_int_equal(base64_decode("Zm9v", data, 2, &size), -1); /* does not fit */
    assert_int_equal(base64_decode("Zm8=", data, 2, &size), 0);
    assert_int_equal(size, 2);
}

static void test_every_byte_survives_base64(void **state)
{
    (void)state;
    uint8_t data[256], back[256];
    char text[345];
    for (int i = 0; i < 256; i++)
        data[i] = (uint8_t)i;
    for (size_t size = 0; size <= sizeof data; size++) {
        size_t back_size;
        base64_encode(data, size, text);
        assert_int_equal(strlen(text), (size + 2) / 3 * 4);
        assert_int_equal(base64_decode(text, back, size, &back_size), 0);
        assert_int_equal(back_size, size);
        assert_memory_equal(back, data, size);
    }
}

static void test_equal_and_random(void **state)
{
    (void)state;
    assert_true(crypto_equal("abc", "abc", 3));
    assert_false(crypto_equal("abc", "abd", 3));
    assert_false(crypto_equal("abc", "bbc", 3));
    uint8_t a[16] = {0}, b[16] = {0};
    crypto_random(a, sizeof a);
    crypto_random(b, sizeof b);
    assert_false(crypto_equal(a, b, sizeof a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_sha256_of_two_pieces),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_ed25519_signs),
        cmocka_unit_test(test_ed25519),
        cmocka_unit_test(test_ed25519_is_not_malleable),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_base64_refuses),
        cmocka_unit_test(test_every_byte_survives_base64),
        cmocka_unit_test(test_equal_and_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
