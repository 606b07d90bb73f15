// Elements of the page. Text of strangers is only ever text: nothing is parsed as HTML, and no link of theirs is made.

export const $ = (id) => document.getElementById(id);

/** Makes an element. Attributes and children that are null, false or "" are left out; strings become text. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value != null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child != null && child !== false && child !== ""));
  return made;
}

const HIDDEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u2028-\u202e\u2060-\u206f\ufeff\u{e0001}-\u{e007f}]/gu;

/** Names the characters that nobody would see, or that would turn the text around them. */
export const seen = (text) =>
  text.replace(HIDDEN, (found) => `[U+${found.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);

/** Shows a text of others, whose direction changes nothing around it. */
export const foreign = (text, attributes) => element("bdi", attributes, seen(text));
export const code = (text) => element("code", {}, seen(text));
export const chip = (text, kind = "") => element("span", { class: `chip ${kind}` }, seen(text));
export const unseen = (text) => element("span", { class: "unseen" }, text);
export const paragraph = (...children) => element("p", {}, ...children);
export const note = (...children) => element("p", { class: "note" }, ...children);
export const command = (text) => element("pre", { class: "command" }, text);

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
export const nameOf = (person) => person.replace(/\s*<[^<>]*>\s*$/, "").replace(/^"(.*)"$/, "$1") || person;

const format = (options) => new Intl.DateTimeFormat("en-GB", options);
const FORMATS = {
  time: format({ hour: "2-digit", minute: "2-digit" }),
  day: format({ day: "numeric", month: "short" }),
  year: format({ day: "numeric", month: "short", year: "numeric" }),
  full: format({ dateStyle: "full", timeStyle: "long" }),
};

/** Shows a moment: the time of today, the date of another day, or all of it. */
export function when(text, isFull = false) {
  const date = new Date(text);
  const now = new Date();
  const ofThisYear = date.getFullYear() === now.getFullYear() ? "day" : "year";
  const short = date.toDateString() === now.toDateString() ? "time" : ofThisYear;
  const full = FORMATS.full.format(date);
  return element("time", { datetime: text, title: full }, isFull ? full : FORMATS[short].format(date));
}

/** Updates a list in place: what stays keeps its element, and with it the focus, a selection and its place. */
export function keyed(list, items, keyOf, fill) {
  const known = (list.known ??= new Map());
  const kept = new Set(items.map(keyOf));
  for (const [key, row] of known) {
    if (kept.has(key)) continue;
    const neighbor = row.nextElementSibling ?? row.previousElementSibling;
    if (row.contains(document.activeElement)) neighbor?.querySelector("a")?.focus();
    row.remove();
    known.delete(key);
  }
  let place = list.firstElementChild;
  for (const item of items) {
    const row = known.get(keyOf(item)) ?? element("li");
    const written = JSON.stringify(item);
    if (row.written !== written) fill(row, item);
    row.written = written;
    known.set(keyOf(item), row);
    if (row === place) place = place.nextElementSibling;
    else list.insertBefore(row, place);
  }
}

/** Fills a row that is one link; the link itself stays. */
export function linked(row, href, ...children) {
  const link = row.querySelector("a") ?? row.appendChild(element("a", { href }));
  link.replaceChildren(...children.filter(Boolean));
}

/** Shows in place of a list why it is empty and what fills it, or nothing. */
export function empty(id, isEmpty, heading = "", ...children) {
  const box = $(id);
  const written = isEmpty ? [heading, ...children.map((child) => child.textContent)].join("\n") : "";
  if (box.written !== written) box.replaceChildren(...(isEmpty ? [element("strong", {}, heading), ...children] : []));
  box.written = written; // what is selected in it stays selected
  box.hidden = !isEmpty;
}
