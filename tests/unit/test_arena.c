/* test_arena.c - what is taken stands until the arena is cleared, and a cleared one asks for no more */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/arena.h"

enum { TEXTS = 1000 };

static void texts_stand(void **state)
{
    struct arena arena = {0};
    const char *texts[TEXTS];
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < TEXTS; i++) {
            char text[64];
            memset(text, 'a' + i % 26, sizeof text);
            texts[i] = arena_text(&arena, (struct text){text, (size_t)i % sizeof text});
        }
        for (int i = 0; i < TEXTS; i++) {
            assert_int_equal(strlen(texts[i]), i % 64);
            assert_int_equal(strspn(texts[i], (char[]){(char)('a' + i % 26), '\0'}), i % 64);
        }
        arena_clear(&arena);
    }
    assert_string_equal(arena_text(&arena, (struct text){NULL, 0}), "");
    arena_free(&arena);
    arena_free(&arena); /* is empty */
}

static void a_cleared_one_keeps_its_largest_block(void **state)
{
    struct arena arena = {0};
    (void)state;
    char *large = arena_bytes(&arena, 100000);
    memset(large, 1, 100000);
    arena_clear(&arena);
    assert_ptr_equal(arena_bytes(&arena, 1), large);
    assert_ptr_equal(arena_bytes(&arena, 99999), large + 1);
    assert_ptr_not_equal(arena_bytes(&arena, 1), large + 100000);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_stand),
        cmocka_unit_test(a_cleared_one_keeps_its_largest_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
