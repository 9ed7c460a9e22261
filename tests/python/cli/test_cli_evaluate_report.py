"""The page that `deeplight evaluate --report` writes."""

import base64
import html.parser

from deeplight import score_table


class Page(html.parser.HTMLParser):
    """What a browser would fetch, and the cells of the table."""

    def __init__(self, text):
        super().__init__()
        self.links, self.cells, self.open, self.best = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.links += [attributes[k] for k in ("src", "href") if k in attributes]
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag == "td":
            self.best.append(attributes.get("class") == "best")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1].append(data)


def test_report_is_one_whole_page(folder, evaluate):
    name = "sr <b>&.tif"
    (folder / "sr.tif").rename(name)
    code, _, _ = evaluate(name, "hr.tif", "-l", "lr.tif", "--report", "r.html", "--all")
    assert code == 0
    text = (folder / "r.html").read_text()
    page = Page(text)
    assert page.open == []
    assert len(page.links) == 3 and all(x.startswith("data:image/png;base64,") for x in page.links)
    for link in page.links:
        assert base64.b64decode(link.partition(",")[2]).startswith(b"\x89PNG")
    assert "sr &lt;b&gt;&amp;.tif" in text and name not in text
    rows = {row[0]: row[1:] for row in page.cells if row}
    assert rows["PSNR"][0] == "38.59"
    assert set(rows["RMSE"]) > {"3.000"}
    assert sum(page.best) >= 5
    labels = [column.label for column in score_table.COLUMNS]
    assert all(label in rows for label in labels)
    assert "http" not in text


def test_report_of_a_failed_run_leaves_the_old_one(folder, evaluate):
    (folder / "r.html").write_text("old")
    code, _, _ = evaluate("sr.tif", "hr.tif", "--report", "r.html", "--window", "60,0,9,9")
    assert code == 1
    assert (folder / "r.html").read_text() == "old"
