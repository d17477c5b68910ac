"""Properties are tried on the same examples every time; `--hypothesis-profile=explore` looks for new ones.

However long these take: a busy machine is no fault.
"""

from hypothesis import HealthCheck, settings

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("same", UNHURRIED, derandomize=True, database=None)
settings.register_profile("explore", UNHURRIED, max_examples=2000)
settings.load_profile("same")


def pytest_addoption(parser):
    parser.addoption("--draw-figures", action="store_true", help="draw the figures that others are compared with anew")
