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

const REPAIR = "tell the person, who repairs it with `guardhouse install opencode`"

function unanswered(cause) {
  if (POSTURE === "open") return { decision: "allow" }
  return {
    decision: "deny",
    reason: `Guardhouse could not be asked about this: ${cause}. So the tool was not let run. Do not try another way: ${REPAIR}.`,
  }
}

function ask(question) {
  return new Promise((resolve) => {
    let shim
    try {
      shim = spawn(SHIM[0], SHIM.slice(1), { stdio: ["pipe", "pipe", "ignore"] })
    } catch (error) {
      resolve(unanswered("its hook cannot be started"))
      return
    }
    const parts = []
    const late = setTimeout(() => {
      shim.kill("SIGKILL")
      resolve(unanswered(`its hook did not answer in ${SECONDS} seconds`))
    }, SECONDS * 1000)
    shim.on("error", () => {
      clearTimeout(late)
      resolve(unanswered("its hook cannot be started"))
    })
    shim.stdout.on("data", (part) => parts.push(part))
    shim.stdin.on("error", () => {})
    shim.on("close", (status) => {
      clearTimeout(late)
      try {
        const told = JSON.parse(Buffer.concat(parts).toString("utf8"))
        if (status !== 0 || typeof told.decision !== "string") throw new Error("no answer")
        resolve(told)
      } catch {
        resolve(unanswered("its hook gave no answer"))
      }
    })
    shim.stdin.end(JSON.stringify(question))
  })
}

export const Guardhouse = async ({ client, directory, worktree }) => {
  const kinds = new Map() // session -> the kind of agent that speaks in it
  const above = new Map() // session -> the session that began it, "" for none

  async function parent(session) {
    if (!above.has(session)) {
      try {
        const found = await client.session.get({ path: { id: session } })
        above.set(session, found?.data?.parentID ?? "")
      } catch {
        return ""
      }
    }
    return above.get(session)
  }

  return {
    "chat.message": async (input) => {
      if (input.agent) kinds.set(input.sessionID, input.agent)
    },
    "tool.execute.before": async (input, output) => {
      const began = await parent(input.sessionID)
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
      if (told.decision === "allow" || told.decision === "warn") return
      throw new Error(String(told.reason ?? "Guardhouse blocked this.").slice(0, MOST_TOLD))
    },
  }
}
