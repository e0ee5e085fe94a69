import assert from "node:assert/strict";
import { test } from "node:test";

import { MAX_FILE, readNotebook, readNotebookFile } from "../../src/dashboard/js/notebook.js";

const code = (source, more = {}) => ({ cell_type: "code", source, metadata: {}, ...more });
const markdown = (source) => ({ cell_type: "markdown", source });
const notebook = (cells, minor = 5) => ({ nbformat: 4, nbformat_minor: minor, cells });
const cellsOf = (written) => readNotebook(written, "a.ipynb").notebook.cells;
const faultOf = (text) => readNotebookFile(new TextEncoder().encode(text), "a").fault;

test("code cells have their places among all cells, ids, titles and headings", () => {
  const cells = cellsOf(
    notebook([
      markdown("# Part *1*\ntext\n## Loops ##\n```\n# no heading\n```"),
      code("\n\n  for x in y:\n    pass", { id: "aa" }),
      markdown(["### Inner\n", "# Part 2"]),
      code(["# Exercise\n", "x"], { id: "bb", metadata: { tags: ["Exercise"] } }),
      code("", { id: "bb", metadata: { nbgrader: { grade: true } } }),
      { cell_type: "raw", source: "# raw" },
      code("y", { metadata: { nbgrader: { solution: true, grade: false } } }),
    ]),
  );
  assert.deepEqual(cells, [
    { id: "aa", index: 1, title: "for x in y:", headings: ["Part 1", "Loops"] },
    { id: "bb", index: 3, title: "# Exercise", headings: ["Part 2"], exercise: true },
    { index: 4, headings: ["Part 2"], exercise: true },
    { index: 6, title: "y", headings: ["Part 2"], exercise: true },
  ]);
});

test("before nbformat 4.5 ids are nobody's", () => {
  assert.deepEqual(cellsOf(notebook([code("x", { id: "aa" })], 4)), [{ index: 0, title: "x" }]);
  assert.deepEqual(cellsOf({ nbformat: 5, cells: [code("x", { id: "aa" })] })[0].id, "aa");
  const older = {
    nbformat: 3,
    worksheets: [{ cells: [markdown("# A"), { cell_type: "code", input: "x" }] }],
  };
  assert.deepEqual(cellsOf(older), [{ index: 1, title: "x", headings: ["A"] }]);
});

test("files that are no notebooks are told apart", () => {
  assert.equal(faultOf("{"), "json");
  assert.equal(faultOf(`${"[".repeat(500_000)}`), "json");
  assert.equal(readNotebookFile(Uint8Array.from([0x22, 0xff, 0x22]), "a").fault, "encoding");
  for (const text of ["null", "7", "[]", "{}", '{"cells":7}', '{"worksheets":[]}']) {
    assert.equal(faultOf(text), "notebook", text);
  }
  assert.equal(faultOf('{"cells":[]}'), "empty");
  assert.equal(faultOf(JSON.stringify(notebook([markdown("x")]))), "empty");
  assert.equal(readNotebookFile(new Uint8Array(MAX_FILE + 1), "a").fault, "size");
  const many = Array.from({ length: 2_001 }, () => code("x"));
  assert.equal(readNotebook(notebook(many), "a").fault, "tooMany");
  assert.equal(cellsOf(notebook(many.slice(1))).length, 2_000);
});

test("hostile cells do no harm", () => {
  const cells = cellsOf(
    notebook([
      null,
      7,
      code({ a: 1 }, { id: 7, metadata: null }),
      code([1, "x\ud800", null], { id: "\ud800", metadata: { tags: "exercise", nbgrader: 7 } }),
      code("é".repeat(5_000), { id: "x".repeat(2_000), metadata: [] }),
      markdown(`${"#".repeat(100_000)} x\n# ${"y".repeat(100_000)}`),
      code("z"),
    ]),
  );
  assert.deepEqual(
    cells.map(({ index }) => index),
    [2, 3, 4, 6],
  );
  assert.deepEqual(cells[1], { id: "\ufffd", index: 3, title: "x\ufffd" });
  assert.equal(cells[2].id, undefined);
  assert.equal([...cells[2].title].length, 120);
  assert.equal([...cells[3].headings[0]].length, 120);
});

test("before version 4 a heading was a cell of its own", () => {
  const heading = (source, level) => ({ cell_type: "heading", level, source });
  const cells = [
    heading(["Part\n", "one"], 1),
    heading("Loops", 2),
    { cell_type: "code", input: "x" },
  ];
  const written = { nbformat: 3, worksheets: [{ cells: [...cells, heading("B", 99), code("y")] }] };
  assert.deepEqual(cellsOf(written), [
    { index: 2, title: "x", headings: ["Part one", "Loops"] },
    { index: 4, title: "y", headings: ["Part one", "Loops", "B"] },
  ]);
});

test("a long line of blanks in a heading costs little", () => {
  const begun = performance.now();
  cellsOf(notebook([markdown(`# A${" #".repeat(100_000)}${" ".repeat(200_000)}x`), code("y")]));
  assert.ok(performance.now() - begun < 2_000);
});
