import { causeChain } from '../../../core/errors.ts'
import type { News, NewsPlace, NewsStore } from '../../../io/db/news-store.ts'
import type { Logger } from '../../../io/log/logger.ts'

/** Hears what other verifiers changed, in the order in which they did, beside everything else: to take machines over must not wait for it. */
export interface Hearing {
  /** From now on: what was before is known. */
  start(): Promise<void>
  /** Hears what is new, unless it is at it. */
  begin(): void
  /** Something could not be heard the last time. */
  readonly isDeaf: boolean
  /** When it returns nothing is heard any more. */
  stop(): Promise<void>
}

interface Used {
  news: Pick<NewsStore, 'last' | 'since'>
  hear(item: News): Promise<void>
  logger: Logger
}

/** News that is read at once. */
const SLICE = 200

export function createHearing({ news, hear, logger }: Used): Hearing {
  let last: NewsPlace | null = null
  let isDeaf = false
  let isStopped = false
  let isAsked = false
  let running: Promise<void> | null = null

  /** What was changed again since is heard once: it counts as it is stored now. */
  async function hearSlice(items: readonly News[]): Promise<void> {
    const newest = new Map(items.map((item) => [subjectOf(item), item.id]))
    for (const item of items) {
      if (isStopped) return
      if (newest.get(subjectOf(item)) === item.id) await hear(item)
      last = item
    }
  }

  async function hearAll(): Promise<void> {
    while (!isStopped && isAsked) {
      isAsked = false
      for (let isMore = true; isMore && !isStopped; ) {
        const items = await news.since(last, SLICE)
        await hearSlice(items)
        isMore = items.length === SLICE
      }
    }
  }

  async function run(): Promise<void> {
    try {
      await hearAll()
      isDeaf = false
    } catch (error) {
      if (!isDeaf) logger.error(`what other verifiers changed cannot be followed now: ${causeChain(error).join(': ')}`)
      isDeaf = true
    }
    running = isAsked && !isDeaf && !isStopped ? run() : null // asked behind the last look
  }

  return {
    async start() {
      last = await news.last()
    },
    begin() {
      isAsked = true
      running ??= run()
    },
    get isDeaf() {
      return isDeaf
    },
    async stop() {
      isStopped = true
      await running
    },
  }
}

const subjectOf = (item: News): string => (item.what === 'policy' ? `${item.kind} ${item.name}` : `revocation ${item.revocation}`)
