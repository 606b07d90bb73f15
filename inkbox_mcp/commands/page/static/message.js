// A message: as the agent sees it, as text, as HTML in a frame without rights, and its source; and its conversation.

import {
  $,
  chip,
  code,
  count,
  element,
  empty,
  foreign,
  keyed,
  note,
  paragraph,
  seen,
  unseen,
  when,
} from "./elements.js";
import { fillMail, marksOf } from "./mail.js";
import { ask, coalesced, get, messagePath } from "./requests.js";
import { markCurrent, route, TABS } from "./route.js";

const LONG = 600; // characters of a header that are not shown at once, such as those of many recipients
const HEADERS = ["From", "To", "Cc", "Bcc", "Reply-To", "Date", "Message-ID"];

let message = null; // asked for once: what was written does not change
let thread = [];

/** Asks for the message, if it is another one, and again for its conversation. */
export const loadMessage = coalesced(async () => {
  const id = route.message;
  if (!id) return;
  const isNew = message?.id !== id;
  try {
    const found = isNew ? { id, ...(await get(messagePath(id))) } : message;
    const { items } = await get(`/page/threads/${encodeURIComponent(found.row.thread_id)}`);
    if (route.message !== id) return;
    message = found;
    thread = items;
    if (isNew) showMessage();
    showThread();
  } catch (error) {
    if (!error.status || error.status === 503) throw error;
    const why = error.status === 404 ? "It was deleted, or the sandbox has begun anew." : error.message;
    if (route.message === id) showNoMessage("This message cannot be shown", why);
  }
});

export function showNoMessage(heading, ...children) {
  message = null;
  $("message-shown").hidden = true;
  empty("no-message", true, heading, paragraph(...children));
}

function showMessage() {
  const { row, headers } = message;
  empty("no-message", false);
  $("message-shown").hidden = false;
  $("message-heading").replaceChildren(foreign(row.subject || "(no subject)"));
  const shown = HEADERS.filter((name) => headers[name]);
  const value = (name) => (name === "Date" ? when(row.created_at, true) : headerView(headers[name]));
  $("message-headers").replaceChildren(
    ...shown.flatMap((name) => [element("dt", {}, name), element("dd", {}, value(name))]),
  );
  $("tab-html").hidden = !message.has_html;
  $("message-scroll").scrollTop = 0;
  showTab();
  if ($("message-heading").isWanted) $("message-heading").focus({ preventScroll: true });
  $("message-heading").isWanted = false;
}

function headerView(text) {
  if (text.length <= LONG) return foreign(text);
  return element("details", {}, element("summary", {}, foreign(`${text.slice(0, LONG / 4)}…`)), foreign(text));
}

function showThread() {
  const row = thread.find((each) => each.id === message.id);
  const chips = row
    ? [
        chip(row.direction),
        row.direction === "inbound" && chip(row.is_read ? "read" : "unread"),
        ...marksOf(row, (status) => status === "received"),
        row.is_starred && chip("starred"),
      ]
    : [chip("deleted", "bad")];
  $("message-chips").replaceChildren(...chips.filter(Boolean));
  $("thread").hidden = thread.length < 2;
  $("thread-heading").textContent = `Conversation of ${count(thread.length, "message")}`;
  keyed(
    $("thread-rows"),
    thread,
    (each) => each.id,
    (line, each) => fillMail(line, each, message.mailbox_id),
  );
  markCurrent();
}

export const tabs = () => TABS.filter((name) => !$(`tab-${name}`).hidden);
export const currentTab = () => (tabs().includes(route.tab) ? route.tab : "agent");

export function showTab() {
  if (!message || message.id !== route.message) return;
  const tab = currentTab();
  for (const name of TABS) {
    $(`tab-${name}`).setAttribute("aria-selected", String(name === tab));
    $(`tab-${name}`).tabIndex = name === tab ? 0 : -1;
  }
  const panel = $("panel");
  if (panel.message === message && panel.tab === tab) return;
  Object.assign(panel, { message, tab });
  panel.setAttribute("aria-labelledby", `tab-${tab}`);
  panel.replaceChildren(...VIEWS[tab]().filter(Boolean));
}

const VIEWS = { agent: agentView, text: textView, html: htmlView, source: sourceView };
const part = (heading, ...children) => element("section", {}, element("h3", {}, heading), ...children);

/** Shows what the tool get_message gives to a model. */
function agentView() {
  const { shown } = message;
  const hidden = shown.hidden_text_removed;
  const scored = ({ score, line }) => seen(`Score ${score} of 100, in the line: ${line}`);
  const codes = shown.codes?.map((each) =>
    element("li", { title: scored(each) }, code(each.value), unseen(` score ${each.score} of 100`)),
  );
  const more = count(shown.links_left_out ?? 0, "more link");
  return [
    hidden &&
      element("p", { class: "warning" }, `${count(hidden, "hidden character")} removed: a person would not see them.`),
    codes && part("Codes", element("ul", { class: "codes" }, ...codes)),
    element("pre", { class: "body", dir: "auto" }, seen(shown.text ?? "")),
    shown.next_offset &&
      note("This is the first part; the agent gets the next one by ", code(`offset=${shown.next_offset}`), "."),
    shown.links &&
      part(
        "Links",
        element("ul", { class: "links" }, ...shown.links.map(linkView)),
        shown.links_left_out && note(more),
      ),
    shown.attachments &&
      part(
        "Attachments",
        element("ul", { class: "links" }, ...shown.attachments.map(attachmentView)),
        shown.attachments_left_out && note(count(shown.attachments_left_out, "more attachment")),
      ),
    element(
      "details",
      {},
      element("summary", {}, "The result of get_message as JSON"),
      element("pre", {}, seen(JSON.stringify(shown, null, 2))),
    ),
  ];
}

/** Shows where a link leads. It cannot be followed: who looks at a mail of a stranger must not get lost in it. */
function linkView({ host, url, text, kind, misleading }) {
  return element(
    "li",
    {},
    element(
      "span",
      { class: "line" },
      foreign(host, { class: "strong" }),
      kind && chip(kind.replaceAll("_", " ")),
      misleading && chip("misleading: its text names another host", "bad"),
    ),
    text && element("span", { class: "second" }, "“", foreign(text), "”"),
    foreign(url, { class: "url" }),
  );
}

function attachmentView({ filename, content_type: type, size }) {
  const units = size < 1e6 ? `${Math.ceil(size / 1000)} kB` : `${(size / 1e6).toFixed(1)} MB`;
  const about = [type, size != null && (size < 1000 ? count(size, "byte") : units)].filter(Boolean).join(", ");
  return element("li", {}, foreign(filename || "(no name)", { class: "strong" }), foreign(about, { class: "second" }));
}

function textView() {
  const { text, text_left_out: leftOut } = message;
  if (!text) return [note(message.has_html ? "This mail has no plain text, only HTML." : "This mail has no text.")];
  return [
    element("pre", { class: "body", dir: "auto" }, text),
    leftOut > 0 && note(`${count(leftOut, "more character")}, not shown here`),
  ];
}

function htmlView() {
  const title = `The HTML of the mail: ${seen(message.row.subject || "no subject")}`;
  const frame = { sandbox: "", src: `${messagePath(message.id)}/html`, title, referrerpolicy: "no-referrer" };
  return [
    note("Without scripts, forms, and whatever would be loaded from elsewhere, such as pictures."),
    element("iframe", frame),
  ];
}

function sourceView() {
  const shown = element("pre", { class: "body" }, "Loading…");
  const show = (text) => (shown.textContent = text);
  ask(`${messagePath(message.id)}/source`)
    .then((answer) => answer.text())
    .then(show, (error) => show(error.message));
  return [shown];
}
