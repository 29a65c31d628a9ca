/** What V8's profiler says, as far as it is read. */
export interface CpuProfile {
  nodes: readonly ProfileNode[]
  /** Ids of nodes, in the order of time. */
  samples: readonly number[]
  /** Microseconds before each sample. */
  timeDeltas: readonly number[]
}

interface ProfileNode {
  id: number
  callFrame: { functionName: string; url: string; lineNumber: number }
  children?: readonly number[]
}

/** Whose code it is. */
export type Origin = 'ours' | 'library' | 'node' | 'native' | 'kernel'

/** A function, and what it called. */
export interface Frame {
  name: string
  /** File and line; empty for what has none. */
  place: string
  origin: Origin
  /** With all that it called. */
  micros: number
  children: Frame[]
}

/** Not work: nothing was to be done. */
const IDLE = '(idle)'

/** The profile as one tree, in which the calls of one function by another are one frame. Idle time is left out. */
export function foldProfile({ nodes, samples, timeDeltas }: CpuProfile): Frame {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const own = new Map<number, number>()
  for (const [i, id] of samples.entries()) own.set(id, (own.get(id) ?? 0) + Math.max(0, timeDeltas[i] ?? 0))
  const fold = (same: readonly ProfileNode[]): Frame => {
    const children = new Map<string, ProfileNode[]>()
    for (const child of same.flatMap(({ children: ids = [] }) => ids.map((id) => byId.get(id)!))) {
      if (child.callFrame.functionName === IDLE) continue
      const key = JSON.stringify([child.callFrame.functionName, child.callFrame.url, child.callFrame.lineNumber])
      children.set(key, [...(children.get(key) ?? []), child])
    }
    const called = [...children.values()].map(fold)
    const micros = same.reduce((sum, { id }) => sum + (own.get(id) ?? 0), 0) + called.reduce((sum, frame) => sum + frame.micros, 0)
    return { ...described(same[0]!), micros, children: called.toSorted((a, b) => b.micros - a.micros) }
  }
  return { ...fold([nodes[0]!]), name: 'all', place: '', origin: 'native' }
}

function described({ callFrame: { functionName, url, lineNumber } }: ProfileNode): Pick<Frame, 'name' | 'place' | 'origin'> {
  const name = functionName || '(anonymous)'
  const [, inside] = /\/((?:src|node_modules)\/.*)$/.exec(url) ?? []
  if (inside === undefined) return { name, place: url, origin: url.startsWith('node:') ? 'node' : 'native' }
  return { name, place: `${inside}:${lineNumber + 1}`, origin: inside.startsWith('src/') ? 'ours' : 'library' }
}

/** Frames of less than a share of all become one beside the others, so that a picture stays small. */
export function withoutSmall(frame: Frame, share: number, all = frame.micros): Frame {
  const [large, small] = [
    frame.children.filter(({ micros }) => micros >= share * all),
    frame.children.filter(({ micros }) => micros < share * all),
  ]
  const rest = small.reduce((sum, { micros }) => sum + micros, 0)
  const others: Frame[] =
    rest >= share * all ? [{ name: `${small.length} others`, place: '', origin: 'native', micros: rest, children: [] }] : []
  return { ...frame, children: [...large.map((child) => withoutSmall(child, share, all)), ...others] }
}

/** The time that each function took by itself, as shares of all, the longest first. */
export function ownShares(frame: Frame): [string, number][] {
  const shares = new Map<string, number>()
  const walk = ({ name, place, micros, children }: Frame): void => {
    const own = micros - children.reduce((sum, child) => sum + child.micros, 0)
    const key = place === '' ? name : `${name} (${place})`
    shares.set(key, (shares.get(key) ?? 0) + own / frame.micros)
    for (const child of children) walk(child)
  }
  walk(frame)
  return [...shares].toSorted(([, a], [, b]) => b - a)
}
