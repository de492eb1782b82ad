"""The bounded process: what it gives, what it refuses, and that the next task finds it as new."""

import os
import threading

import pytest

from mindcold.isolated import TaskError, call

HELLO = "templates", "render", "{{ x }}"


def test_answers_come_back_and_the_process_stays():
    text = call("templates", "render", "{{ x }} {{ y }}", {"x": "\ud800é", "y": [None, 1.5]})
    assert text == "\ud800é [None, 1.5]"
    assert isinstance(call("patterns", "automaton", "a", {"a": [0]}, 1), bytes)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}", "takes more than 0.5 seconds"),
        ("{{ 10 ** (10 ** 8) }}", "takes more than 0.5 seconds"),
    ],
)
def test_a_late_task_is_ended(template, message):
    with pytest.raises(TaskError, match=message) as caught:
        call("templates", "render", template, {}, seconds=0.5)
    assert caught.value.limit and call(*HELLO, {"x": 1}) == "1"


def test_a_large_task_is_ended():
    with pytest.raises(TaskError, match="takes more than 768 MB of memory") as caught:
        call("templates", "render", "{{ 'x' * 10 ** 10 }}", {})
    assert caught.value.limit and call(*HELLO, {"x": 1}) == "1"


def test_a_task_that_fails_says_why():
    with pytest.raises(TaskError, match=r"^division by zero$") as caught:
        call("templates", "render", "{{ 1 / 0 }}", {})
    assert not caught.value.limit
    with pytest.raises(TypeError):
        call(*HELLO, {"x": object()})


def test_threads_take_turns():
    found = {}

    def ask(number):
        found[number] = [call(*HELLO, {"x": number * 100 + i}) for i in range(50)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [str(number * 100 + i) for i in range(50)] for number in range(4)}


def test_a_forked_process_has_one_of_its_own():
    assert call(*HELLO, {"x": 1}) == "1"
    child = os.fork()
    if not child:
        os._exit(0 if call(*HELLO, {"x": 2}) == "2" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert call(*HELLO, {"x": 3}) == "3"
