import fs from 'node:fs'
import { causeChain } from '../../core/errors.ts'
import type { DateProblem } from '../../core/pki/certificate-dates.ts'
import type { Clock } from '../clock.ts'
import { tellDates } from '../files/identity-dates.ts'
import type { Logger } from '../log/logger.ts'

/** What a service does for its certificates as long as it runs. */
export interface CertificateDuties {
  /** Makes anew what is due; what it makes is seen as a file that changed. Nothing for who has files of the operator's alone. */
  renew?(): Promise<void>
  /** Files with certificates, keys and trusted CAs that were read last. */
  files(): readonly string[]
  /** Reads all of them and takes them, or none. @returns what was read, in words. @throws when they cannot be used. */
  reload(): Promise<string>
  /** What is to be said of the dates. */
  dates(): readonly DateProblem[] | Promise<readonly DateProblem[]>
}

export interface UpkeepOptions {
  readonly clock: Pick<Clock, 'now'>
  readonly logger: Logger
  /** Between two looks. */
  readonly lookMs?: number
}

export interface CertificateUpkeep {
  /** SIGHUP: now, whether something changed or not. */
  reload(): Promise<string>
  stop(): void
}

const LOOK_MS = 10_000
const RENEW_MS = 3_600_000
const DAY_MS = 86_400_000

/**
 * Keeps a running service from stopping after a year: what is due is made anew (each hour), files that changed are read again once they stand still, and dates
 * are told once a day. It looks at short intervals and reads the clock each time, because a timer of months would fire at once (2^31 ms is its limit) and a
 * clock may be set. Never throws: what cannot be used is told once, and what was there before stays.
 */
export function keepCertificates(duties: CertificateDuties, { clock, logger, lookMs = LOOK_MS }: UpkeepOptions): CertificateUpkeep {
  let taken = stampOf(duties.files())
  let seen = taken
  let renewedAt = clock.now()
  let toldAt = clock.now()
  let looking = false
  let complaint = ''

  async function reload(): Promise<string> {
    const stamp = stampOf(duties.files())
    const text = await duties.reload()
    taken = seen = stamp
    return text
  }

  /** What fails is tried at each look, and told when it fails otherwise. */
  async function take(stamp: string): Promise<void> {
    try {
      logger.info(`certificates changed on the disk: ${await duties.reload()}`)
      taken = seen = stamp
      complaint = ''
    } catch (error) {
      if (stampOf(duties.files()) !== stamp) return // somebody was still writing them: what stands still next counts
      const text = causeChain(error).join(': ')
      if (text !== complaint) logger.error(`certificates that changed cannot be taken, those before stay: ${text}`)
      complaint = text
    }
  }

  async function look(): Promise<void> {
    const now = clock.now()
    if (hasPassed(renewedAt, now, RENEW_MS)) {
      renewedAt = now
      await duties.renew?.()
    }
    const stamp = stampOf(duties.files())
    const standsStill = stamp === seen // key and certificate are seldom copied in the same moment
    seen = stamp
    if (stamp !== taken && standsStill) await take(stamp)
    if (hasPassed(toldAt, now, DAY_MS)) {
      toldAt = now
      tellDates(await duties.dates(), logger)
    }
  }

  const timer = setInterval(() => {
    if (looking) return
    looking = true
    look()
      .catch((error) => logger.error(`certificates cannot be checked: ${causeChain(error).join(': ')}`))
      .finally(() => {
        looking = false
      })
  }, lookMs).unref()
  return { reload, stop: () => clearInterval(timer) }
}

/** Also when the clock was set back. */
const hasPassed = (since: number, now: number, ms: number) => now - since >= ms || now < since

/** Another text when one of the files is another. Those that cannot be checked, by an agent that gave up root perhaps, stay what they are. */
const stampOf = (files: readonly string[]): string => files.map(stampOfFile).join('\n')

function stampOfFile(file: string): string {
  try {
    const stat = fs.statSync(file, { bigint: true, throwIfNoEntry: false })
    return stat ? `${stat.dev} ${stat.ino} ${stat.mtimeNs} ${stat.ctimeNs} ${stat.size}` : 'missing'
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code)
  }
}
