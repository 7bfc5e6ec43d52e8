"""The page in a real browser: a history built by clicks, cards, a filter, an explanation."""

import shutil

import pytest

from tests.serving.process import running

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="needs Debian's chromium and chromium-driver",
    ),
]
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--window-size=1300,1000",
)


@pytest.fixture(scope="module")
def server(shop, tmp_path_factory):
    log = tmp_path_factory.mktemp("browser") / "log"
    arguments = [shop / "run", "--pictures", shop / "data", "--watch", 0]
    with running(log, *arguments) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, server):
    """The page, freshly opened; nothing may be wrong on its console afterwards."""
    browser.get(server.url)
    yield browser
    wrong = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert wrong == []


def all_of(page, selector: str) -> list:
    from selenium.webdriver.common.by import By

    return page.find_elements(By.CSS_SELECTOR, selector)


def until(page, condition):
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    waits = WebDriverWait(page, 20, ignored_exceptions=[StaleElementReferenceException])
    return waits.until(lambda _: condition())


def click(page, selector: str) -> None:
    """Click the first of its kind, the way that a script does: wherever it is on the page."""
    page.execute_script("arguments[0].click()", all_of(page, selector)[0])


def prices(page) -> list[float]:
    texts = [facts.text for facts in all_of(page, ".card .facts")]
    return [float(text.split()[1]) for text in texts if text.startswith("price")]


def test_a_history_is_built_by_clicks_filtered_and_explained(page):
    assert "popular items" in all_of(page, ".reason")[0].text
    mark = "window.mark = 1; return document.title"
    assert "mgrec" in page.execute_script(mark)
    for number in (1, 2, 3):
        click(page, f".tiles li:nth-child({number}) button")
        until(page, lambda n=number: len(all_of(page, ".strip .picture")) == n)
    assert page.execute_script("return window.mark") == 1  # nothing was loaded anew
    assert "enerated from the history" in all_of(page, ".reason")[0].text
    assert len(all_of(page, ".card")) == 10
    assert all(all_of(card, "h4")[0].text for card in all_of(page, ".card"))
    shown = "return [...document.querySelectorAll('.card img')].map(i => i.naturalWidth)"
    widths = until(page, lambda: [w for w in page.execute_script(shown) if w])
    assert len(widths) >= 3
    assert page.current_url.count("h=") == 3  # to be sent on, or to come back to

    before = prices(page)
    bound = sorted(before)[len(before) // 2]
    assert max(before) >= bound
    field = all_of(page, "#where")[0]
    field.send_keys(f"price < {bound}\n")
    until(page, lambda: "where=" in page.current_url and max(prices(page)) < bound)

    click(page, ".card .why")
    until(page, lambda: all_of(page, "dialog[open] svg.why"))
    dialog = all_of(page, "dialog[open]")[0]
    assert "popularity alone would give" in dialog.text
    assert all_of(dialog, "h1")[0].text == all_of(page, ".card h4")[0].text
    click(page, "dialog button")
    until(page, lambda: not all_of(page, "dialog[open]"))

    click(page, "#drop-0")
    until(page, lambda: len(all_of(page, ".strip .picture")) == 2)
    page.back()
    until(page, lambda: len(all_of(page, ".strip .picture")) == 3)


def test_a_wrong_filter_is_told_and_not_swallowed(page):
    all_of(page, "#where")[0].send_keys("prise < 3\n")
    told = until(page, lambda: all_of(page, ".wrong"))[0].text
    assert "prise" in told
    assert all_of(page, "#status")[0].get_attribute("textContent") == told


def test_a_user_is_loaded_and_the_catalogue_searched(page):
    all_of(page, "#user")[0].send_keys("u003\n")
    until(page, lambda: "of user u003" in all_of(page, ".history .soft")[0].text)
    assert all_of(page, ".strip .picture")
    name = all_of(page, ".tiles .name")[5].text
    all_of(page, "#q")[0].send_keys(f"{name}\n")
    until(page, lambda: "found" in all_of(page, ".picks .soft")[0].text)
    assert all(name in found.text for found in all_of(page, ".tiles .name"))


def test_who_picks_from_a_later_page_stays_there(page):
    def turned() -> str:
        return all_of(page, ".turn")[0].text

    click(page, "#next")
    until(page, lambda: "2 of" in turned())
    click(page, ".tiles button")
    until(page, lambda: len(all_of(page, ".strip .drop")) == 1)
    assert "2 of" in turned()
    click(page, "#search")
    until(page, lambda: "1 of" in turned())
    assert len(all_of(page, ".strip .drop")) == 1


def test_from_the_tree_one_comes_to_the_whole_page(page, server):
    page.get(f"{server.url}/codes")
    click(page, ".acts a")
    until(page, lambda: page.title.startswith("Recommend"))
    assert all_of(page, "nav [aria-current]")[0].text == "Recommend"


def test_the_keyboard_is_enough_and_keeps_its_place(page):
    from selenium.webdriver.common.keys import Keys

    tile = all_of(page, ".tiles button")[3]
    name = tile.get_attribute("id")
    page.execute_script("arguments[0].focus()", tile)
    tile.send_keys(Keys.ENTER)
    until(page, lambda: len(all_of(page, ".strip .picture")) == 1)
    assert page.execute_script("return document.activeElement.id") == name
    unnamed = page.execute_script(
        "return [...document.querySelectorAll('button,a,input:not([type=hidden]),select')]"
        ".filter(e => !(e.textContent.trim() || e.labels?.length || e.ariaLabel)).length"
    )
    assert unnamed == 0


def test_the_tree_is_walked_from_a_prefix_to_its_items(page, server):
    page.get(f"{server.url}/codes")
    told = [int(found.text.split()[0]) for found in all_of(page, ".branches .soft")]
    assert sum(told) == 90
    all_of(page, ".branches a")[0].click()
    until(page, lambda: len(all_of(page, ".path li")) == 2)
    assert f"{told[0]} items" in page.find_element("tag name", "main").text
    page.get(f"{server.url}/run")
    assert "NDCG@10" in page.page_source


def test_it_fits_a_phone(page, server):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        for path in ("/?h=i00&h=i01", "/codes", "/run", "/explain?item=i07&h=i00"):
            page.get(server.url + path)
            wide = page.execute_script("return document.documentElement.scrollWidth")
            assert wide <= 360, path
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
