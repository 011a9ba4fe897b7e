"""Long computations on a page: what the reader sees, and what becomes of the thread.

Streamlit's test runner does not poll: each ``run()`` is a look at the page.
"""

import threading
import time

import pytest
from streamlit.testing.v1 import AppTest

from cvviz.ui import jobs
from cvviz.ui.jobs import WAITING, Job, Stopped

SOON = 10.0  # seconds


class Worker:
    """A work that the test leads step by step. Scripts find it by the name of this module."""

    def __init__(self):
        self.orders = []  # what to report next, to return or to raise
        self.news = threading.Condition()
        self.outcomes = []

    def __call__(self, progress):
        try:
            while True:
                with self.news:
                    assert self.news.wait_for(lambda: self.orders, SOON)
                    order = self.orders.pop(0)
                if isinstance(order, Exception):
                    raise order
                if not isinstance(order, tuple):
                    self.outcomes.append("returned")
                    return order
                progress(*order)
        except Stopped:
            self.outcomes.append("stopped")
            raise

    def told(self, order):
        with self.news:
            self.orders.append(order)
            self.news.notify()


WORKERS: dict[str, Worker] = {}


@pytest.fixture
def worker():
    WORKERS["toy"] = Worker()
    WORKERS["other"] = Worker()
    yield WORKERS["toy"]
    for each in WORKERS.values():
        each.told(RuntimeError("the test is over"))


def page():
    import streamlit as st

    from cvviz import ui
    from tests.ui.test_jobs import WORKERS

    size = st.number_input("Size", value=3)

    def draw(value):
        st.metric("Value", 1 // value)

    ui.job("Count", WORKERS["toy"], draw, key="toy", inputs=size)


def two_jobs():
    from cvviz import ui
    from tests.ui.test_jobs import WORKERS

    for name in ("toy", "other"):
        ui.job(f"Count {name}", WORKERS[name], lambda value: None, key=name, inputs=None)


def opened(script=page):
    return AppTest.from_function(script, default_timeout=30).run()


def started(script=page):
    return opened(script).button(key="toy/start").click().run()


def look_until(app, condition):
    """Look at the page until something is to be seen there."""
    end = time.monotonic() + SOON
    while not condition(app):
        assert time.monotonic() < end, app
        time.sleep(0.02)
        app.run()
    return app


def wait_for(condition):
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def shown(app):
    return [metric.value for metric in app.metric]


def captions(app):
    return " ".join(element.value for element in app.caption)


def buttons(app):
    return [button.label for button in app.button]


class TestOnThePage:
    def test_waits_for_the_reader(self, worker):
        app = opened()
        assert buttons(app) == ["Count"]
        assert not app.progress
        assert not shown(app)

    def test_progress_partial_value_and_end(self, worker):
        app = started()
        assert buttons(app) == ["Stop"]
        worker.told((0.25, "first *half*"))
        look_until(app, lambda app: app.progress[0].value == 25)
        assert app.progress[0].text == r"first \*half\*"
        assert not shown(app)
        worker.told((0.5, "second half", 1))
        look_until(app, lambda app: shown(app) == ["1"])
        assert app.progress[0].value == 50
        worker.told(-1)
        look_until(app, lambda app: not app.progress)
        assert shown(app) == ["-1"]
        assert buttons(app) == ["Count"]
        assert "Done in" in captions(app)

    def test_stop_keeps_what_is_known(self, worker):
        app = started()
        worker.told((0.5, "half", 1))
        look_until(app, lambda app: shown(app) == ["1"])
        app.button(key="toy/stop").click().run()
        assert buttons(app) == ["Count"]
        assert "Stopped at 50%" in captions(app)
        worker.told((0.6, "more", -1))
        wait_for(lambda: worker.outcomes == ["stopped"])
        app.run()
        assert shown(app) == ["1"]
        assert "Stopped at 50%" in captions(app)

    def test_result_after_the_stop_is_not_heard(self, worker):
        app = started()
        app.button(key="toy/stop").click().run()
        worker.told(1)
        wait_for(lambda: worker.outcomes == ["returned"])
        assert shown(app.run()) == []

    def test_again(self, worker):
        app = started()
        worker.told(1)
        look_until(app, lambda app: shown(app) == ["1"])
        app.button(key="toy/start").click().run()
        assert shown(app) == ["1"], "the last value stays until there is a newer one"
        worker.told(-1)
        look_until(app, lambda app: shown(app) == ["-1"] and not app.progress)

    def test_new_inputs_stop_it(self, worker):
        app = started()
        worker.told((0.5, "half", 1))
        look_until(app, lambda app: shown(app) == ["1"])
        app.number_input[0].set_value(4).run()
        assert buttons(app) == ["Count"]
        assert shown(app) == ["1"]
        assert "Stopped, because the settings have changed." in captions(app)
        assert "The settings have changed since this was computed." in captions(app)
        worker.told((0.6,))
        wait_for(lambda: worker.outcomes == ["stopped"])

    def test_value_for_other_inputs_says_so(self, worker):
        app = started()
        worker.told(1)
        look_until(app, lambda app: "Done in" in captions(app))
        assert "settings have changed" not in captions(app)
        app.number_input[0].set_value(4).run()
        assert "The settings have changed since this was computed." in captions(app)
        assert "Stopped" not in captions(app)
        assert "Done in" not in captions(app)
        app.number_input[0].set_value(3).run()
        assert "settings have changed" not in captions(app)
        assert "Done in" in captions(app)

    def test_sentence_of_a_value_error(self, worker):
        app = started()
        worker.told((0.5, "half", 1))
        worker.told(ValueError("Three images are *too* few."))
        look_until(app, lambda app: app.warning)
        assert app.warning[0].value == r"Three images are \*too\* few."
        assert shown(app) == ["1"]
        assert buttons(app) == ["Count"]
        app.number_input[0].set_value(4).run()
        assert not app.warning

    def test_other_errors_go_to_the_log(self, worker, caplog):
        app = started()
        worker.told(RuntimeError("cuDNN knows no such thing"))
        look_until(app, lambda app: app.error)
        assert "cuDNN" not in app.error[0].value
        assert "cuDNN" in caplog.text
        assert not app.exception

    def test_a_drawing_that_fails_leaves_the_page_alone(self, worker, caplog):
        app = started()
        worker.told(0)
        look_until(app, lambda app: app.error)
        assert "could not be drawn" in app.error[0].value
        assert "ZeroDivisionError" in caplog.text
        assert not app.exception

    def test_one_at_a_time_for_a_visitor(self, worker):
        app = started(two_jobs)
        worker.told((0.5, "half"))
        look_until(app, lambda app: app.progress[0].value == 50)
        app.button(key="other/start").click().run()
        look_until(app, lambda app: app.progress[1].text == WAITING)
        worker.told(1)
        WORKERS["other"].told((0.25, "quarter"))
        look_until(app, lambda app: app.progress and app.progress[0].text == "quarter")
        WORKERS["other"].told(1)
        look_until(app, lambda app: not app.progress)

    def test_a_waiting_job_can_be_stopped(self, worker):
        app = started(two_jobs)
        app.button(key="other/start").click().run()
        app.button(key="other/stop").click().run()
        assert buttons(app) == ["Stop", "Count other"]
        assert WORKERS["other"].outcomes == []


class TestThread:
    def test_stops_when_nobody_looks(self, monkeypatch):
        monkeypatch.setattr(jobs, "PATIENCE", 0.05)
        job, steps = Job(inputs=None), []

        def work(progress):
            while True:
                steps.append(progress(0.1))
                time.sleep(0.01)

        job.run(work)
        assert job.state == "stopped"
        assert 1 <= len(steps) <= 10

    def test_runs_on_while_somebody_looks(self, monkeypatch):
        monkeypatch.setattr(jobs, "PATIENCE", 0.05)
        job = Job(inputs=None)

        def work(progress):
            for _ in range(10):
                time.sleep(0.01)
                job.seen = time.monotonic()
                progress(0.1)
            return 1

        job.run(work)
        assert job.result == (None, 1)

    def test_few_run_at_a_time(self):
        slots = threading.Semaphore(1)
        first, second = Job(inputs=1), Job(inputs=2)
        end = threading.Event()
        threads = [
            threading.Thread(target=job.run, args=(lambda progress: end.wait(SOON), slots)) for job in (first, second)
        ]
        threads[0].start()
        wait_for(lambda: first.state == "running")
        threads[1].start()
        wait_for(lambda: second.words == WAITING)
        assert second.state == "waiting"
        end.set()
        for thread in threads:
            thread.join(SOON)
        assert (first.state, second.state) == ("done", "done")
        assert slots.acquire(blocking=False), "both have given their slot back"

    @pytest.mark.parametrize("problem", [RuntimeError("no"), ValueError("no"), Stopped()])
    def test_slots_come_back_after_a_failure(self, problem):
        slots = threading.Semaphore(1)

        def work(progress):
            raise problem

        Job(inputs=None).run(work, slots)
        assert slots.acquire(blocking=False)

    def test_fraction_stays_in_range(self):
        job = Job(inputs=None)
        job.run(lambda progress: [progress(7.0), job.fraction, progress(-1.0), job.fraction])
        assert job.result == (None, [None, 1.0, None, 0.0])
