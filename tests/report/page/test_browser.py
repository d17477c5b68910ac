"""The page in Chromium: it renders, sorts, filters and says nothing on the console."""

import shutil

import pytest

from tests.report.page.conftest import SCRIPT

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--window-size=1400,1000")

pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no chromium and chromedriver here; apt-get install chromium chromium-driver"
)


@pytest.fixture(scope="module")
def chromium():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(chromium, tmp_path):
    """Opens a page; at the end of the test nothing may have been said, shown or fetched."""
    from selenium.webdriver.support.ui import WebDriverWait

    def opened(text):
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        chromium.get(path.as_uri())
        waiting = WebDriverWait(chromium, 20)
        waiting.until(lambda driver: driver.execute_script("return document.documentElement.dataset.ready"))
        return chromium

    yield opened
    assert chromium.get_log("browser") == []
    fetched = chromium.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert fetched == []


def table(driver, place):
    """Opens the first table of a part of the page and gives it once it is drawn."""
    from selenium.webdriver.support.ui import WebDriverWait

    details = driver.find_elements("css selector", f"#{place} details.data")
    shown = next(one for one in details if one.is_displayed())
    if not shown.get_attribute("open"):
        click(driver, shown.find_element("tag name", "summary"))
    WebDriverWait(driver, 20).until(lambda _: shown.find_elements("css selector", "tbody tr"))
    return shown


def click(driver, element):
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def column(driver, shown, name):
    """The texts of a column, as they are drawn."""
    script = """
        const heads = [...arguments[0].querySelectorAll("thead th")].map((head) => head.textContent.split(" ")[0]);
        const at = heads.indexOf(arguments[1]);
        return [...arguments[0].querySelectorAll("tbody tr")].map((line) => line.children[at].textContent);
    """
    return driver.execute_script(script, shown, name)


def numbers(texts):
    return [int(text.replace(",", "")) for text in texts]


def press_head(driver, shown, name):
    heads = shown.find_elements("css selector", "thead button")
    click(driver, next(head for head in heads if head.text.split()[0] == name))


def test_tables_sort(opened, page, report):
    driver = opened(page)
    shown = table(driver, "tables")
    peaks = [row.peak_bytes for row in report.body.buffers]
    most = min(len(peaks), 200)
    assert numbers(column(driver, shown, "peak_bytes")) == peaks[:most]
    press_head(driver, shown, "peak_bytes")
    assert numbers(column(driver, shown, "peak_bytes")) == sorted(peaks, reverse=True)[:most]
    press_head(driver, shown, "peak_bytes")
    assert numbers(column(driver, shown, "peak_bytes")) == sorted(peaks)[:most]


def test_tables_filter(opened, page, report):
    driver = opened(page)
    shown = table(driver, "tables")
    field = shown.find_element("css selector", "input")
    field.send_keys("gate")
    found = column(driver, shown, "edge")
    assert found == [row.edge for row in report.body.buffers if "gate" in (row.role, row.edge)]
    field.clear()
    field.send_keys("peak_bytes>=2,048 rate")
    rate = [row for row in report.body.buffers if row.role == "rate" and row.peak_bytes >= 2048]
    assert {row.edge for row in rate} <= set(column(driver, shown, "edge"))
    assert min(numbers(column(driver, shown, "peak_bytes"))) >= 2048
    field.clear()
    field.send_keys("nothing has this name")
    assert column(driver, shown, "edge") == []


def test_one_run_is_shown_at_a_time(opened, page):
    driver = opened(page)
    runs = driver.find_elements("css selector", "#network [data-run]")
    assert [run.is_displayed() for run in runs] == [True, False]
    click(driver, driver.find_element("css selector", '#network button[data-choose="tile-2"]'))
    assert [run.is_displayed() for run in runs] == [False, True]
    others = driver.find_elements("css selector", "#summary [data-run]")
    assert [run.is_displayed() for run in others] == [False, True]


def test_the_graph_is_searched_zoomed_and_filtered(opened, page):
    from selenium.webdriver.common.keys import Keys

    driver = opened(page)
    network = driver.find_element("css selector", "#network .network")
    drawing = network.find_element("css selector", "svg.graph")
    assert drawing.size["width"] > 100
    assert drawing.size["height"] > 1000
    width = drawing.size["width"]
    click(driver, network.find_element("css selector", ".nearer"))
    assert drawing.size["width"] == pytest.approx(1.25 * width, rel=0.01)
    network.find_element("css selector", "input").send_keys("squeeze", *[Keys.ENTER] * 5)
    found = network.find_elements("css selector", ".stage.found")
    assert found
    assert all("squeeze" in stage.get_attribute("data-stage") for stage in found)
    assert driver.execute_script("return arguments[0].querySelector('.canvas').scrollTop", network) > 0
    click(driver, network.find_element("css selector", 'button[data-fade="gate"]'))
    faded = network.find_elements("css selector", ".faded")
    assert {part.get_attribute("data-role") for part in faded} == {"gate"}


def test_figures_are_drawn(opened, page):
    driver = opened(page)
    drawn = driver.find_elements("css selector", "figure svg")
    assert len(drawn) >= 4
    assert all(one.size["width"] > 300 and one.size["height"] > 100 for one in drawn)


def test_names_stay_text(opened, hostile_page):
    """An alert would fail every command after it, a script of a name would be found by its element."""
    driver = opened(hostile_page)
    shown = table(driver, "tables")
    assert any(SCRIPT in text for text in column(driver, shown, "edge"))
    assert driver.execute_script("return document.scripts.length") == driver.execute_script(
        "return document.querySelectorAll('script[type=\"application/json\"]').length + 1"
    )
    assert driver.find_elements("css selector", "img, [onload], [onerror]") == []
    titles = driver.execute_script("return [...document.querySelectorAll('.stage')].map((s) => s.dataset.stage)")
    assert SCRIPT in titles
