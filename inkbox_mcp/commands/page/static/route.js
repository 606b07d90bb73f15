// Where the page is, as the part of its address after "#" says, so that every view can be linked.

export const TABS = ["agent", "text", "html", "source"];

const own = (...parts) => `#/${parts.filter(Boolean).map(encodeURIComponent).join("/")}`;
export const mailboxLink = (id) => own("mailboxes", id);
export const messageLink = (mailbox, id, tab = "agent") =>
  own("mailboxes", mailbox, "messages", id, tab === "agent" ? null : tab);

export const route = { view: "mailboxes", mailbox: null, message: null, tab: "agent" };

/** Reads the address into `route`, and returns where the page was before. */
export function readRoute() {
  const before = { ...route };
  let parts = [];
  try {
    parts = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  } catch {
    // an escape that is none: the first view
  }
  const [view, mailbox, , message, tab] = parts;
  if (["webhooks", "calls"].includes(view)) {
    Object.assign(route, { view, mailbox: null, message: null, tab: "agent" });
  } else {
    Object.assign(route, { view: "mailboxes", mailbox: mailbox || null, message: (mailbox && message) || null });
    route.tab = TABS.includes(tab) ? tab : "agent";
  }
  return before;
}

/** Marks the links that lead where the page is. */
export function markCurrent() {
  const here = new Set([mailboxLink(route.mailbox), messageLink(route.mailbox, route.message), `#/${route.view}`]);
  if (route.view === "mailboxes") here.add("#/");
  for (const link of document.querySelectorAll("nav a, .rows a")) {
    if (here.has(link.getAttribute("href"))) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}
