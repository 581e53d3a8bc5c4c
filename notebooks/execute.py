"""Executes notebooks from the first cell to the last.

    python notebooks/execute.py NOTEBOOK...           check: nothing is written; a cell that fails is a failure
    python notebooks/execute.py --store NOTEBOOK...   outputs are stored in the notebook, as they are committed

What is stored must read the same on any machine, so it holds no times of execution, and a path of this machine in an
output is a failure. A check looks at what is stored as well: all cells executed, in their order, without an error.

What a notebook says is asserted in its cells: that it runs through is the whole test.

Exits with 1 when a notebook fails. Needs nbclient and ipykernel.
"""

import argparse
import copy
import os
import re
import sys
import tempfile
from pathlib import Path

os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # for the kernel: a check leaves nothing beside the notebooks

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

# A notebook takes less than a minute; a machine that compiles beside it may take ten times as long.
CELL_LIMIT_S = 600
# What shows a machine's own folders.
PLACES = [str(Path(__file__).resolve().parent.parent), str(Path.home()), tempfile.gettempdir() + "/"]


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(notebook, folder):
    """A copy of `notebook`, executed in `folder`."""
    fresh = copy.deepcopy(notebook)
    client = NotebookClient(
        fresh,
        timeout=CELL_LIMIT_S,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    return fresh


def tidy(notebook):
    """Takes out what differs from run to run or from machine to machine."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(code_cells(notebook), 1):
        cell.metadata.pop("execution", None)
        cell.execution_count = number
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = number
        cell.outputs = joined(cell.outputs)


def joined(outputs):
    """Texts that came in pieces, as one."""
    whole = []
    for output in outputs:
        before = whole[-1] if whole else None
        if before and output.output_type == before.output_type == "stream" and output.name == before.name:
            before.text += output.text
        else:
            whole.append(output)
    return whole


def problems(notebook):
    """What a reader of the stored notebook should not find."""
    for number, cell in enumerate(code_cells(notebook), 1):
        if cell.execution_count != number:
            yield f"code cell {number} is not stored as executed"
        if "execution" in cell.metadata:
            yield f"code cell {number} holds times of execution"
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"code cell {number} is stored with an error"
            if output.get("name") == "stderr":
                yield f"code cell {number} is stored with warnings: {output.text.strip().splitlines()[0]}"


def places(notebook):
    """Outputs that show a folder of this machine."""
    for number, cell in enumerate(code_cells(notebook), 1):
        for output in cell.outputs:
            text = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
            for place in PLACES:
                if place in text:
                    yield f"code cell {number} shows {place}"


def run(path, store):
    """Executes one notebook; gives what is wrong with it."""
    notebook = nbformat.read(path, as_version=4)
    try:
        executed = execute(notebook, path.resolve().parent)
    except CellExecutionError as error:
        return [re.sub(r"\x1b\[[0-9;]*m", "", str(error))]
    if not store:
        return list(problems(notebook))
    tidy(executed)
    if wrong := [*problems(executed), *places(executed)]:
        return wrong
    nbformat.write(executed, path)
    return []


def main():
    parser = argparse.ArgumentParser(description="execute notebooks")
    parser.add_argument("--store", action="store_true", help="store the outputs in the notebook")
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
    arguments = parser.parse_args()
    failed = False
    for path in arguments.notebooks:
        wrong = run(path, arguments.store)
        failed |= bool(wrong)
        print(f"{path.name}: {'failed' if wrong else 'stored' if arguments.store else 'passed'}", *wrong, sep="\n  ")
    sys.exit(failed)


if __name__ == "__main__":
    main()
