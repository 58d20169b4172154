/* attest.h - a person's word on an outcome that no provider tells: authorize.attest, refund.attest
 *
 * The word fills the slot like any answer, by the same functions, so that all that rests on it follows as usual. Before
 * that the provider is asked once more: a definite answer wins, and is what is recorded. A word that nothing was done is
 * taken only once nothing that was sent can still arrive (L6). Who said it, why and on what evidence stands in the
 * fact: "evidence":{"attested":{"reason","actor","evidence","evidenceSha256","evidenceName"},"asked":{"outcome","code",...}}.
 */
#ifndef ACQUIT_WORKERS_ATTEST_H
#define ACQUIT_WORKERS_ATTEST_H

#include "workers/worker.h"

/* VERDICT_CALL while the case is open and the word is one that may be said of it; VERDICT_DONE when it is answered. */
enum verdict attest_plan(struct job *job);
/* The question before the word. */
enum verdict attest_ask(struct job *job);
/* Hands the provider's answer, where it is definite, or else the person's word to the `settle` of the slot's own step. */
enum verdict attest_settle(struct job *job, enum verdict (*settle)(struct job *));
/* True when what attest_settle() handed on was the word. */
bool attest_is_word(const struct job *job);

#endif
