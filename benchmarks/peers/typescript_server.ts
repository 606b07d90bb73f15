// The five mailbox tools made with the TypeScript SDK, on stdio; bundled by esbuild into one file before it is measured.

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const api = process.env.INKBOX_BASE_URL + "/api/v1/mail/mailboxes";
const headers = { "X-API-Key": process.env.INKBOX_API_KEY!, "Content-Type": "application/json" };

const address = z.string().max(320).describe("The mailbox's full address.");
const name = z.string().min(1).optional().describe("Sender name people see, 1-255 characters.");
const mailbox = z.object({
  id: z.string(),
  email_address: z.string(),
  display_name: z.string().nullish(),
  webhook_url: z.string().nullish(),
  status: z.string(),
}).passthrough();
const page = z.object({ mailboxes: z.array(mailbox), total: z.number(), next_cursor: z.string().nullable() });
const deleted = z.object({ deleted: z.boolean(), email_address: z.string() });

async function send(method: string, path: string, body?: object): Promise<any> {
  const answer = await fetch(api + path, { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`Inkbox answered ${answer.status}`);
  return answer.status === 204 ? null : await answer.json();
}

const result = (data: any) => ({ content: [{ type: "text" as const, text: JSON.stringify(data) }], structuredContent: data });

const server = new McpServer({ name: "mailboxes", version: "1" });
server.registerTool("create_mailbox", {
  description: "Create a mailbox, an email address, for an agent identity that has none yet.",
  inputSchema: { agent_handle: z.string(), display_name: name, email_local_part: z.string().optional() },
  outputSchema: mailbox,
}, async (args) => result(mailbox.parse(await send("POST", "", args))));
server.registerTool("list_mailboxes", {
  description: "List active mailboxes, newest first.",
  inputSchema: { limit: z.number().int().min(1).max(200).default(50) },
  outputSchema: page,
}, async ({ limit }) => {
  const found = await send("GET", "");
  return result(page.parse({ mailboxes: found.slice(0, limit), total: found.length, next_cursor: null }));
});
server.registerTool("get_mailbox", {
  description: "Get one mailbox by its address.",
  inputSchema: { email_address: address },
  outputSchema: mailbox,
}, async ({ email_address }) => result(mailbox.parse(await send("GET", `/${email_address}`))));
server.registerTool("update_mailbox", {
  description: "Change a mailbox's display name or webhook.",
  inputSchema: { email_address: address, display_name: name, webhook_url: z.string().optional() },
  outputSchema: mailbox,
}, async ({ email_address, ...changes }) => result(mailbox.parse(await send("PATCH", `/${email_address}`, changes))));
server.registerTool("delete_mailbox", {
  description: "Delete a mailbox for good.",
  inputSchema: { email_address: address },
  outputSchema: deleted,
}, async ({ email_address }) => {
  await send("DELETE", `/${email_address}`);
  return result({ deleted: true, email_address });
});
await server.connect(new StdioServerTransport());
