"""Properties are tried on the same examples every time; `--hypothesis-profile=explore` looks for new ones."""

from hypothesis import settings

settings.register_profile("same", derandomize=True, database=None)
settings.register_profile("explore", max_examples=2000)
settings.load_profile("same")


def pytest_addoption(parser):
    parser.addoption("--draw-figures", action="store_true", help="draw the figures that others are compared with anew")
