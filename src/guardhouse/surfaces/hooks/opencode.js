// Guardhouse's plugin for OpenCode: asks before each tool runs, and throws where the answer is no.
//
// No dependency and no secret of its own: it hands the question to the hook shim, which holds the token and knows
// the gateway. `guardhouse install opencode` writes this file with the two constants filled in. OpenCode takes an
// error thrown here for a refusal; one from anywhere in this file is one.

import { spawn } from "node:child_process"

const SHIM = []
const POSTURE = "closed"
const SECONDS = 30
const MOST_TOLD = 4096
const SESSION_SECONDS = 5

const REPAIR = "tell the person, who repairs it with `guardhouse install opencode`"

// `said` is what the hook itself wrote for people: the cause and what to run, where Guardhouse is not here at all.
function unanswered(cause, said = "") {
  if (POSTURE === "open") return { decision: "allow", said }
  if (/guardhouse (install|doctor)/.test(said)) {
    return { decision: "deny", reason: `${said.replace(/\.?$/, ".")} Do not try another way: tell the person.` }
  }
  const why = said ? `${cause} (${said})` : cause
  return {
    decision: "deny",
    reason: `Guardhouse could not be asked about this: ${why}. So the tool was not let run. Do not try another way: ${REPAIR}.`,
  }
}

function ask(question) {
  return new Promise((resolve) => {
    let shim
    try {
      shim = spawn(SHIM[0], SHIM.slice(1), { stdio: ["pipe", "pipe", "pipe"] })
    } catch (error) {
      resolve(unanswered("its hook cannot be started"))
      return
    }
    const parts = []
    let said = ""
    const late = setTimeout(() => {
      shim.kill("SIGKILL")
      resolve(unanswered(`its hook did not answer in ${SECONDS} seconds`))
    }, SECONDS * 1000)
    shim.on("error", () => {
      clearTimeout(late)
      resolve(unanswered("its hook cannot be started"))
    })
    shim.stdout.on("data", (part) => parts.push(part))
    shim.stderr.on("data", (part) => {
      if (said.length < MOST_TOLD) said += part.toString("utf8")
    })
    shim.stdin.on("error", () => {})
    shim.on("close", (status) => {
      clearTimeout(late)
      try {
        const told = JSON.parse(Buffer.concat(parts).toString("utf8"))
        if (status !== 0 || typeof told.decision !== "string") throw new Error("no answer")
        resolve(told)
      } catch {
        resolve(unanswered("its hook gave no answer", said.trim().slice(0, MOST_TOLD)))
      }
    })
    shim.stdin.end(JSON.stringify(question))
  })
}

export const Guardhouse = async ({ client, directory, worktree }) => {
  const kinds = new Map() // session -> the kind of agent that speaks in it
  const above = new Map() // session -> the session that began it, "" for none
  let warned = false

  // The session that began this one, "" for none, undefined where OpenCode does not say: only what it did say is kept,
  // so that a sub-agent is never taken for its agent because of one failed reading.
  async function parent(session) {
    if (above.has(session)) return above.get(session)
    let late
    try {
      const over = new Promise((resolve) => {
        late = setTimeout(resolve, SESSION_SECONDS * 1000)
      })
      const found = await Promise.race([client.session.get({ path: { id: session } }), over])
      if (!found?.data || found.error) return undefined
      above.set(session, found.data.parentID ?? "")
      return above.get(session)
    } catch {
      return undefined
    } finally {
      clearTimeout(late)
    }
  }

  // Once a start: where tools run unasked, a person is to know it, and what to run.
  async function warn(message) {
    if (warned) return
    warned = true
    try {
      await client.app.log({ body: { service: "guardhouse", level: "warn", message } })
      await client.tui.showToast({ body: { message, variant: "warning" } })
    } catch {
      // A client without them still has its tools.
    }
  }

  return {
    "chat.message": async (input) => {
      if (input.agent) kinds.set(input.sessionID, input.agent)
    },
    "tool.execute.before": async (input, output) => {
      let began = await parent(input.sessionID)
      if (began === undefined) {
        const lost = unanswered("OpenCode did not say whose session this is")
        if (lost.decision === "deny") throw new Error(lost.reason)
        began = "" // asked all the same, as the agent itself
      }
      const told = await ask({
        event: "tool.execute.before",
        tool: input.tool,
        sessionID: began || input.sessionID,
        ...(began ? { agent_id: input.sessionID, agent_type: kinds.get(input.sessionID) ?? "" } : {}),
        callID: input.callID,
        args: output.args,
        directory,
        worktree,
      })
      if (told.said) await warn(told.said)
      if (told.decision === "allow" || told.decision === "warn") return
      throw new Error(String(told.reason ?? "Guardhouse blocked this.").slice(0, MOST_TOLD))
    },
  }
}
