// The editor: CodeMirror 6, with Python's colours, and a mark on the line where a mistake is.
import { defaultKeymap, history, historyKeymap } from "./editor/codemirror-commands.js";
import { python } from "./editor/codemirror-lang-python.js";
import { bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "./editor/codemirror-language.js";
import { setDiagnostics } from "./editor/codemirror-lint.js";
import { EditorView, keymap, lineNumbers } from "./editor/codemirror-view.js";
import { classHighlighter } from "./editor/lezer-highlight.js";

// `run` is called on Ctrl+Enter, `changed` gets the text at every change
export function openEditor(parent, run, changed) {
  const view = new EditorView({ parent, extensions: [
    lineNumbers(), history(), indentOnInput(), bracketMatching(), python(), indentUnit.of("    "),
    syntaxHighlighting(classHighlighter), EditorView.lineWrapping,
    EditorView.contentAttributes.of({ "aria-label": "the text of the sampler" }),
    EditorView.updateListener.of((update) => update.docChanged && changed(view.state.doc.toString())),
    keymap.of([{ key: "Mod-Enter", run: () => { run(); return true; } }, ...defaultKeymap, ...historyKeymap]),
  ] });
  return {
    write: (insert) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert } }),
    mark(number, message) { // no line: no mark
      const { doc } = view.state, { from, to } = doc.line(Math.min(number || 1, doc.lines));
      view.dispatch(setDiagnostics(view.state, number ? [{ from, to, severity: "error", message }] : []));
    },
  };
}
