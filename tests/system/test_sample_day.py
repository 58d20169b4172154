"""The day of `make run`, as a test: some fifty payments through both doors, each with the end that its scenario expects."""

import run as runner


def test_the_sample_day(world):
    day = runner.Day(world.farm)
    day.run()
    world.created |= {payment.id: payment.scenario.publisher for payment in day.payments}
    assert len(day.payments) >= 40
    assert not day.wrong(), [(payment.scenario.name, payment.state, payment.wrong) for payment in day.wrong() if isinstance(payment, runner.Payment)] + day.letters
