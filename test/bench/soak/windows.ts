/** What was seen of a verifier at one moment of a long run. */
export interface Sample {
  /** Since the beginning. */
  seconds: number
  pssMb: number
  descriptors: number
  /** Of the database with its journal, and of all other files. */
  databaseMb: number
  otherMb: number
  /** Written to the disk so far. */
  writtenMb: number
  /** Attestations so far, and processor time so far. */
  attested: number
  cpuMs: number
}

/** A part of the time. */
export interface Window {
  fromMinute: number
  rate: number
  cpuMsEach: number
  /** Medians. */
  pssMb: number
  descriptors: number
  databaseMb: number
  otherMb: number
  /** To the disk, in KB a second. */
  writtenKb: number
}

const FIGURES = ['pssMb', 'descriptors', 'databaseMb', 'otherMb'] as const
export type Watched = (typeof FIGURES)[number]

const middle = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

/** Parts of the same length; each begins with the last sample of the one before. */
export function windowsOf(samples: readonly Sample[], count: number): Window[] {
  const size = (samples.length - 1) / count
  return Array.from({ length: count }, (_, i) => {
    const part = samples.slice(Math.round(i * size), Math.round((i + 1) * size) + 1)
    const [first, last] = [part[0]!, part.at(-1)!]
    const attested = Math.max(1, last.attested - first.attested)
    const medians = Object.fromEntries(FIGURES.map((figure) => [figure, middle(part.map((sample) => sample[figure]))]))
    return {
      fromMinute: first.seconds / 60,
      rate: attested / Math.max(0.001, last.seconds - first.seconds),
      cpuMsEach: (last.cpuMs - first.cpuMs) / attested,
      writtenKb: ((last.writtenMb - first.writtenMb) * 1024) / Math.max(0.001, last.seconds - first.seconds),
      ...(medians as Pick<Window, Watched>),
    }
  })
}

export interface Growth {
  figure: Watched
  first: number
  last: number
  isFlat: boolean
}

/** So much of the value after the beginning, and a little for what is small. */
const [SHARE, LITTLE] = [0.05, 1]

/**
 * Whether it stays as it is: the median of the last third of the windows against that of the first third, without the first windows, in which a heap finds its size and a database its pages. @param warm windows that are left out.
 */
export function growthOf(windows: readonly Window[], warm: number): Growth[] {
  const judged = windows.slice(warm)
  const third = Math.max(1, Math.floor(judged.length / 3))
  return FIGURES.map((figure) => {
    const values = judged.map((window) => window[figure])
    const [first, last] = [middle(values.slice(0, third)), middle(values.slice(-third))]
    return { figure, first, last, isFlat: last - first <= Math.max(LITTLE, SHARE * first) }
  })
}
