// The page of the sandbox: goes where the address says, by mouse and keyboard, and shows each change as it happens.

import { $, count, element, seen } from "./elements.js";
import { toast, write } from "./form.js";
import { clearMail, loadMail, loadOlder } from "./mail.js";
import { currentTab, loadMessage, showNoMessage, showTab, tabs } from "./message.js";
import { isReplaced, mailboxes, mailboxOf, overview } from "./overview.js";
import { mailboxLink, markCurrent, messageLink, readRoute, route, TABS } from "./route.js";

const MILLISECONDS_UNTIL_AGAIN = 1000;
const TITLES = { webhooks: "Webhooks", calls: "Tool calls" };

const LOST = "Connection lost. Trying again…";
const REPLACED = "The database file was deleted or replaced. Start the sandbox again to see the new one.";

let isLost = false;
let hasOverview = false;
const loadOverview = overview(() => {
  hasOverview = true;
  showConnection();
  showRoute();
});

/** Shows the panes of the route; by `data-depth`, CSS decides for which of them there is room. */
function showRoute() {
  const isNew = hasOverview && !mailboxes().length && !route.mailbox;
  const depth = route.message ? "message" : route.mailbox ? "mail" : isNew ? "nothing" : "mailboxes";
  document.body.dataset.depth = route.view === "mailboxes" ? depth : route.view;
  const mailbox = mailboxOf(route.mailbox);
  const parts = mailbox && [
    mailbox.agent_handle && `agent ${mailbox.agent_handle}`,
    count(mailbox.messages, "message"),
  ];
  const heading = mailbox ? seen(mailbox.email_address) : "Mail";
  if ($("mail-heading").textContent !== heading) $("mail-heading").textContent = heading;
  $("mail-about").textContent = parts ? seen(parts.filter(Boolean).join(" · ")) : "";
  $("message-back").href = mailboxLink(route.mailbox);
  const title = TITLES[route.view] ?? mailbox?.email_address;
  document.title = [title && seen(title), "Inkbox sandbox"].filter(Boolean).join(" – ");
  markCurrent();
}

function showHint() {
  const keys = { "↑ ↓": "or", "j k": "choose,", Enter: "opens,", Escape: "goes back,", c: "writes to an agent." };
  const hint = Object.entries(keys).flatMap(([key, use]) => [element("kbd", {}, key), ` ${use} `]);
  showNoMessage("No message is open", "Choose one from the list. On the keyboard: ", ...hint);
}

function go() {
  const before = readRoute();
  const isSameMailbox = route.mailbox === before.mailbox;
  if (!isSameMailbox) clearMail();
  if (!route.message) showHint();
  showRoute();
  $("message-heading").isWanted = route.message && route.message !== before.message;
  if (route.view !== "mailboxes") $(`${route.view}-heading`).focus();
  else if (route.message) showTab();
  else if (isSameMailbox && before.message) focusLink(messageLink(route.mailbox, before.message), "mail-heading");
  else if (route.mailbox) $("mail-heading").focus();
  else focusLink(mailboxLink(before.mailbox), "mailboxes-heading");
  if (!isSameMailbox) loadMail();
  loadMessage();
}

function focusLink(href, heading) {
  const link = [...document.querySelectorAll(".rows a")].find(
    (each) => each.getAttribute("href") === href && each.offsetParent,
  );
  (link ?? $(heading)).focus();
}

/** Moves the focus in the list that has it, otherwise in the one that is read. */
function step(by, focused) {
  const lists = ["thread-rows", "mail-rows", "mailbox-rows"].map($);
  const isShown = (list) => list.offsetParent && list.firstElementChild;
  const list = lists.find((each) => each.contains(focused)) ?? lists.slice(1).find(isShown);
  const links = [...(list?.querySelectorAll("a") ?? [])];
  const place = links.includes(focused)
    ? links.indexOf(focused)
    : links.findIndex((link) => link.hasAttribute("aria-current"));
  links[Math.min(Math.max(place + by, 0), links.length - 1)]?.focus();
}

function chooseTab(tab) {
  location.replace(messageLink(route.mailbox, route.message, tab));
  $(`tab-${tab}`).focus();
}

function stepTab(key) {
  const place = {
    ArrowLeft: tabs().indexOf(currentTab()) - 1,
    ArrowRight: tabs().indexOf(currentTab()) + 1,
    Home: 0,
    End: -1,
  }[key];
  chooseTab(tabs().at(place % tabs().length));
}

function onKey(event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || $("compose").open) return;
  const steps = { j: 1, k: -1, ...(target.closest(".rows") && { ArrowDown: 1, ArrowUp: -1 }) };
  if (steps[key]) step(steps[key], target);
  else if (target.closest("#tabs") && ["ArrowLeft", "ArrowRight", "Home", "End"].includes(key)) stepTab(key);
  else if (key === "Escape" && route.mailbox) location.hash = route.message ? mailboxLink(route.mailbox) : "#/";
  else if (key === "c") write();
  else return;
  event.preventDefault();
}

function showConnection() {
  const said = isLost ? LOST : isReplaced() ? REPLACED : "";
  if ($("connection").textContent !== said) $("connection").textContent = said;
}

function listen() {
  const events = new EventSource("/page/events");
  events.addEventListener("change", () => {
    loadOverview();
    loadMail();
    loadMessage();
  });
  events.addEventListener("open", () => {
    if (isLost) toast("Connected again.");
    isLost = false;
    showConnection();
  });
  events.addEventListener("error", () => {
    isLost = true;
    showConnection();
    // After an answer that is no stream, the browser does not try again by itself.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, MILLISECONDS_UNTIL_AGAIN);
  });
}

for (const name of TABS) $(`tab-${name}`).addEventListener("click", () => chooseTab(name));
$("older").addEventListener("click", loadOlder);
$("skip").addEventListener("click", (event) => {
  event.preventDefault(); // its address is no view
  $("main").focus();
});
document.addEventListener("keydown", onKey);
window.addEventListener("hashchange", go);
const older = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && loadOlder(), {
  root: $("mail-scroll"),
  rootMargin: "600px",
});
older.observe($("older"));

readRoute();
clearMail();
if (!route.message) showHint();
showRoute();
loadOverview().then(() => {
  const isWide = matchMedia("(min-width: 44rem)").matches;
  if (location.hash || !isWide || !mailboxes().length) return;
  history.replaceState(null, "", mailboxLink(mailboxes()[0].id)); // nobody went there, so the focus stays
  readRoute();
  clearMail();
  showRoute();
  loadMail();
});
listen();
