from coterie.concurrency.budget import ThreadBudget


def test_pools_share_a_limit_and_each_may_have_one_thread() -> None:
    budget = ThreadBudget()
    shares = [budget.join() for _ in range(6)]
    taken = [sum(budget.take(share, 8, 16) for _ in range(8)) for share in shares]
    assert taken == [3, 1, 1, 1, 1, 1]
    more = budget.join()
    assert budget.take(more, 8, 16)
    assert not budget.take(more, 8, 16)
    assert budget.used == 9


def test_a_thread_that_is_given_back_serves_another_pool() -> None:
    budget = ThreadBudget()
    one, other = budget.join(), budget.join()
    assert [budget.take(one, 3, 6) for _ in range(3)] == [True, True, False]
    assert budget.take(other, 3, 6)
    assert not budget.take(other, 3, 6)
    assert budget.pressed(one)
    budget.give(one, 1)
    assert budget.take(other, 3, 6)
    budget.leave(one)
    assert (budget.take(other, 3, 6), budget.used) == (True, 3)


def test_abandoned_threads_are_counted_apart_and_bounded() -> None:
    budget = ThreadBudget()
    share = budget.join()
    for _ in range(2):
        assert budget.take(share, 4, 6)
    assert [budget.abandon(share, 1) for _ in range(2)] == [True, False]
    assert (budget.used, budget.abandoned) == (1, 1)
    budget.leave(share)
    assert budget.abandoned == 1
    budget.reclaim(share)
    assert (budget.abandoned, budget.used) == (0, 0)
