// The mail of a mailbox: pages of rows, newest first, of which more are asked for when they are scrolled to.

import {
  $,
  chip,
  command,
  element,
  empty,
  foreign,
  keyed,
  linked,
  nameOf,
  paragraph,
  seen,
  unseen,
  when,
} from "./elements.js";
import { mailboxOf } from "./overview.js";
import { coalesced, get } from "./requests.js";
import { markCurrent, messageLink, route } from "./route.js";

const PAGE = 100;
const BAD = ["bounced", "failed", "complained", "rejected", "spam", "blocked"];

const mail = { mailbox: null, pages: [], next: null, isGone: false };

const idsOf = (pages) => new Set(pages.flatMap((page) => page.items.map((item) => item.id)));

async function askFor(cursor) {
  const query = cursor ? `&cursor=${encodeURIComponent(cursor)}` : "";
  return get(`/page/mailboxes/${encodeURIComponent(mail.mailbox)}/messages?limit=${PAGE}${query}`);
}

/** Asks again for the newest page and those that are in view, and shows them. */
export const loadMail = coalesced(async () => {
  const id = route.mailbox;
  if (mail.mailbox !== id) Object.assign(mail, { mailbox: id, pages: [], next: null, isGone: false });
  if (!id) return;
  const isFirst = !mail.pages.length;
  const before = idsOf(mail.pages);
  const seenIDs = idsInView();
  try {
    const asked = new Set();
    for (const pageOf of [newestPage, ...seenIDs.map((each) => () => pageWith(each))]) {
      const page = pageOf();
      if (!page || asked.has(page.cursor)) continue;
      asked.add(page.cursor);
      const answer = await askFor(page.cursor);
      if (route.mailbox !== id) return;
      replacePage(page, answer);
    }
    mail.isGone = false;
  } catch (error) {
    if (error.status !== 404) throw error;
    Object.assign(mail, { pages: [], next: null, isGone: true });
  }
  showMail(isFirst || mail.isGone ? [] : mail.pages[0].items.filter((item) => !before.has(item.id)));
});

const newestPage = () => mail.pages[0] ?? { cursor: null, items: [] };
const pageWith = (id) => mail.pages.find((page) => page.items.some((item) => item.id === id));

/** Returns the ids of the first and the last row in view; all rows have the same height. */
function idsInView() {
  const { scrollTop, clientHeight } = $("mail-scroll");
  const height = $("mail-rows").firstElementChild?.offsetHeight || 1;
  const items = mail.pages.flatMap((page) => page.items);
  const at = (distance) => items[Math.min(Math.floor(distance / height), items.length - 1)]?.id;
  return [at(scrollTop), at(scrollTop + clientHeight)];
}

export const loadOlder = coalesced(async () => {
  const { mailbox, next } = mail;
  if (!next || mailbox !== route.mailbox) return;
  const answer = await askFor(next);
  if (mail.mailbox !== mailbox || mail.next !== next) return;
  mail.pages.push({ cursor: next, items: answer.items });
  mail.next = answer.next_cursor;
  showMail([]);
});

/** Puts the answer in the place of a page. Rows that new mail has pushed out of it begin the following page. */
function replacePage(page, answer) {
  const place = Math.max(mail.pages.indexOf(page), 0);
  const known = idsOf(mail.pages.slice(place));
  if (!answer.items.some((item) => known.has(item.id))) {
    // Nothing tells what is between these rows and those that were known.
    mail.pages.splice(place, Infinity, { cursor: page.cursor, items: answer.items });
    mail.next = answer.next_cursor;
    return;
  }
  const following = mail.pages[place + 1];
  const older = idsOf(mail.pages.slice(place + 1));
  const overlap = answer.items.findIndex((item) => older.has(item.id));
  const items = overlap < 0 ? answer.items : answer.items.slice(0, overlap);
  const kept = new Set(items.map((item) => item.id));
  const end = Date.parse(items.at(-1)?.created_at);
  const isPushed = (item) => !kept.has(item.id) && Date.parse(item.created_at) <= end;
  const pushed = overlap < 0 && answer.next_cursor ? page.items.filter(isPushed) : [];
  page.items = items;
  if (pushed.length) {
    const hasRoom = following && following.items.length + pushed.length <= PAGE;
    const rest = { cursor: answer.next_cursor, items: hasRoom ? [...pushed, ...following.items] : pushed };
    mail.pages.splice(place + 1, hasRoom ? 1 : 0, rest);
  } else if (!following) {
    mail.next = answer.next_cursor;
  }
}

export function clearMail() {
  keyed($("mail-rows"), [], (item) => item.id);
  $("mail-scroll").scrollTop = 0;
  $("older").hidden = true;
  empty("no-mail", !route.mailbox, "No mailbox is open", paragraph("Choose one from the list."));
}

function showMail(arrived) {
  const today = new Date().toDateString(); // another day makes dates of times
  const items = mail.pages.flatMap((page) => page.items).map((item) => ({ ...item, today }));
  inPlace(() =>
    keyed(
      $("mail-rows"),
      items,
      (item) => item.id,
      (row, item) => fillMail(row, item, mail.mailbox),
    ),
  );
  for (const { id } of arrived) $("mail-rows").known.get(id)?.classList.add("arrived");
  announce(arrived.filter((item) => item.direction === "inbound"));
  $("older").hidden = !mail.next;
  const address = mailboxOf(mail.mailbox)?.email_address ?? "ADDRESS";
  const deliver = `inkbox-mcp sandbox deliver --url ${location.origin} --to ${address}`;
  const why = mail.isGone
    ? ["This mailbox is not there any more", paragraph("It was deleted, or the sandbox has begun anew.")]
    : [
        "No mail yet",
        paragraph("Write to it by the button above, or in a terminal:"),
        command(`${deliver} --from ann@example.com --subject Hello --text 'How are you?'`),
      ];
  empty("no-mail", !items.length, ...why);
  markCurrent();
}

/** Updates the rows, while what is scrolled to stays where it is. */
function inPlace(update) {
  const scroll = $("mail-scroll");
  const top = (row) => row.getBoundingClientRect().top;
  const first = scroll.scrollTop > 0 && [...$("mail-rows").children].find((row) => top(row) >= top(scroll));
  const before = first && top(first);
  update();
  if (first?.isConnected) scroll.scrollTop += top(first) - before;
}

function announce(arrived) {
  if (!arrived.length) return;
  const [{ from, subject }] = arrived;
  const several = arrived.length > 1 ? `${arrived.length} new messages. ` : "";
  $("announcer").textContent = seen(`${several}New mail from ${nameOf(from)}: ${subject || "no subject"}`);
}

/** Returns how the state of a message is shown, apart from what is usual. */
export function marksOf(item, isUsual) {
  const folder = ["inbox", "sent"].includes(item.folder) ? null : item.folder;
  const status = isUsual(item.status) ? null : item.status;
  return [status, folder].filter(Boolean).map((mark) => chip(mark, BAD.includes(mark) ? "bad" : ""));
}

export function fillMail(row, item, mailbox) {
  const isInbound = item.direction === "inbound";
  const isUnread = isInbound && !item.is_read;
  const people = isInbound ? [item.from] : item.to;
  row.classList.toggle("unread", isUnread);
  linked(
    row,
    messageLink(mailbox, item.id),
    element(
      "span",
      { class: "line" },
      isUnread && element("span", { class: "dot" }, unseen("Unread. ")),
      !isInbound && element("span", { class: "to" }, "To"),
      foreign(people.map(nameOf).join(", "), { class: "name", title: seen(people.join(", ")) }),
      item.thread_size > 1 &&
        element(
          "span",
          { class: "size", title: "Messages of the conversation" },
          String(item.thread_size),
          unseen(" in the conversation"),
        ),
      item.is_starred && element("span", { class: "sign", title: "Starred" }, "★", unseen(" starred")),
      when(item.created_at),
    ),
    element(
      "span",
      { class: "line" },
      foreign(item.subject || "(no subject)", { class: "subject" }),
      item.has_attachments && element("span", { class: "clip", title: "Attachments" }, unseen("has attachments")),
      ...marksOf(item, (status) => isInbound || status === "delivered"),
    ),
    foreign(item.snippet || "", { class: "second" }),
  );
}
