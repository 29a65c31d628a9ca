/** How machines of a fleet do. All but the liars are honest. */
export const KINDS = ['honest', 'slow', 'lossy', 'lying', 'hanging', 'freezing', 'rebooting', 'closing', 'foreign'] as const
export type Kind = (typeof KINDS)[number]

/** Part of the fleet by kind, from 0 to 1; the rest is honest. */
export type Shares = Partial<Record<Exclude<Kind, 'honest'>, number>>

export const KIND_TEXTS: Record<Exclude<Kind, 'honest'>, string> = {
  slow: 'answer after 0.2 to 2 seconds',
  lossy: 'cut one connection in five instead of answering',
  lying: 'run a program that no policy allows, some time after they were attested',
  hanging: 'take requests and never answer',
  freezing: 'do the same, but only some time after they were attested',
  rebooting: 'reboot now and then: their measurement list begins again',
  closing: 'close idle connections after five seconds',
  foreign: 'close them too, and cannot resume TLS sessions: as the Rust agent does',
}

/** Which machine is of which kind: spread evenly, so that each part of the fleet has some of each. */
export function kindOf(index: number, count: number, shares: Shares): Kind {
  const place = ((index * 0.6180339887498949) % 1) + 0.5 / (count + 1) // the golden ratio leaves no gaps
  let end = 0
  for (const [kind, share] of Object.entries(shares)) {
    end += share
    if (place < end) return kind as Kind
  }
  return 'honest'
}
