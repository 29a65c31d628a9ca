/** API versions of the pull model, oldest first. 1.0 stands in upstream's list too but has no routes (protocol 1.2). */
export const API_VERSIONS = ['2.0', '2.1', '2.2', '2.3', '2.4', '2.5', '2.6'] as const
/** Of machines that bring their evidence. A verifier serves it beside the others; no list of versions names it, as tenants would choose it. */
export const PUSH_API_VERSION = '3.0'
export const CURRENT_VERSION = '2.6'

/** Versions an agent of ours speaks, as upstream's Rust agent does. */
export const AGENT_API_VERSIONS = ['2.1', '2.2', '2.3', '2.4', '2.5', '2.6'] as const

const FORM = /^(\d{1,3})\.(\d{1,3})$/

/** Compares numerically: 2.10 is newer than 2.9. Texts that are no versions are older than all. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => FORM.exec(text))
  if (!left || !right) return Number(Boolean(left)) - Number(Boolean(right))
  return Number(left[1]) - Number(right[1]) || Number(left[2]) - Number(right[2])
}

export const isVersion = (text: string): boolean => FORM.test(text)

/** The highest version that both sides know, or null (protocol 1.3). */
export function negotiateVersion(remote: string | readonly string[], local: readonly string[]): string | null {
  const offered = new Set(typeof remote === 'string' ? [remote] : remote)
  return (
    local
      .filter((version) => offered.has(version))
      .toSorted(compareVersions)
      .at(-1) ?? null
  )
}

/** `version` is at least `minimum`. */
export const isAtLeast = (version: string, minimum: string): boolean => compareVersions(version, minimum) >= 0
