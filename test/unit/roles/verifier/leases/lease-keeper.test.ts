import { jest } from '@jest/globals'
import { createKeyedLock } from '../../../../../src/core/concurrency/keyed-lock.ts'
import type { Living } from '../../../../../src/io/db/lease-store.ts'
import type { News, NewsPlace } from '../../../../../src/io/db/news-store.ts'
import { createAgentTable } from '../../../../../src/roles/verifier/agents/agent-table.ts'
import type { ManagedAgent } from '../../../../../src/roles/verifier/agents/managed-agent.ts'
import { createLeaseKeeper, type LeaseKeeperOptions } from '../../../../../src/roles/verifier/leases/lease-keeper.ts'
import type { Adopted } from '../../../../../src/roles/verifier/revocation/revocation-notifier.ts'
import { until } from '../../../../servers.ts'

const agentOf = (agentId: string) =>
  ({
    enrolment: { agentId, ip: '127.0.0.1' },
    ...{ connection: { close() {} }, state: { vState: 'none' }, progress: {}, busy: false, removed: false },
  }) as unknown as ManagedAgent

/** A keeper among fakes: `others` verifiers live besides it. */
function bed({ ids = [] as string[], others = 0, waiting = [] as News[] } = {}) {
  const agents = createAgentTable()
  for (const id of ids) agents.add(agentOf(id))
  const leased = new Set(ids)
  const commands = createKeyedLock()
  const world = {
    living: 1 + others,
    firstEndMs: (): number => Number.POSITIVE_INFINITY,
    free: [] as string[],
    news: waiting,
    slices: [] as number[],
    forgotten: 0,
    heard: [] as string[],
    given: [] as string[],
    resumed: [] as string[],
    errors: [] as string[],
    warnings: [] as string[],
    missed: [] as Living['missed'][number][],
    hear: async (_name: string): Promise<void> => undefined,
    save: async (): Promise<void> => undefined,
    /** How often receivers that are no agents were taken up. */
    adopted: 0,
    adopt: async (): Promise<void> => undefined,
  }
  const options = {
    shared: {
      leases: {
        beat: async () => ({ count: world.living, firstEndMs: world.firstEndMs(), others: [], missed: world.missed.splice(0) }),
        reconcile: async () => [],
        has: (id: string) => leased.has(id),
        get size() {
          return leased.size
        },
        enrolled: async () => leased.size + world.free.length,
        movable: async () => 0,
        claim: async (limit: number) => {
          const claimed = world.free.splice(0, limit)
          for (const id of claimed) leased.add(id)
          return claimed
        },
        give: async (given: string[]) => {
          for (const id of given) leased.delete(id)
          world.given.push(...given)
        },
      },
      news: {
        last: async () => null,
        since: async (place: NewsPlace | null, limit: number) => {
          world.slices.push(limit)
          return world.news.filter((item) => item.id > (place?.id ?? 0)).slice(0, limit)
        },
        forget: async () => void world.forgotten++,
      },
      listen: () => ({ ensure: async () => undefined, close: async () => undefined }),
    },
    agents,
    store: { saveProgress: () => world.save() },
    policies: { digestOf: async () => 'digest' },
    takeUp: {
      several: async (given: ReadonlySet<string>) => {
        for (const id of given) agents.add(agentOf(id))
      },
      policyHeard: async (_kind: string, name: string) => {
        await world.hear(name)
        world.heard.push(name)
      },
    },
    loop: {
      pause: async (agent: ManagedAgent) => {
        agent.removed = true
      },
      resume: (agent: ManagedAgent) => world.resumed.push(agent.enrolment.agentId),
    },
    progress: {},
    held: { wake() {} },
    notifier: {
      async adopt(what: Adopted) {
        if (!('others' in what && what.others)) return
        await world.adopt()
        world.adopted++
      },
    },
    commands,
    clock: { now: () => 0, monotonic: () => 0 },
    logger: { info() {}, warn: (text: string) => world.warnings.push(text), error: (text: string) => world.errors.push(text) },
  } as unknown as LeaseKeeperOptions
  return { keeper: createLeaseKeeper(options), world, agents, commands }
}

const policy = (id: number, name: string): News => ({ id, at: '0', what: 'policy', kind: 'runtime', name })
afterEach(() => void jest.useRealTimers())

const never = () => new Promise<void>(() => undefined)

test('machines are taken over although what others changed takes long to be heard, or cannot be', async () => {
  for (const hear of [never, () => Promise.reject(new Error('it cannot be read'))]) {
    const { keeper, world, agents } = bed({ waiting: [policy(1, 'slow')] })
    world.hear = hear
    await keeper.start()
    world.free.push('orphan')
    keeper.lost()
    await until('it to be taken over', () => agents.get('orphan'), 2)
    await Promise.race([keeper.stop(), new Promise((resolve) => setTimeout(resolve, 20))])
  }
})

test('what cannot be heard is told once, tried again, and is no secret of its own', async () => {
  const { keeper, world } = bed({ waiting: [policy(1, 'a'), policy(2, 'b')] })
  world.hear = (name) => (name === 'b' ? Promise.reject(new Error('it cannot be read')) : Promise.resolve())
  await keeper.start()
  await until('it to say so', () => keeper.isDown, 2)
  keeper.lost()
  keeper.lost()
  expect([world.errors.length, world.heard]).toEqual([1, ['a']])
  world.hear = async () => undefined
  keeper.lost()
  await until('all of it', () => String(world.heard) === 'a,b' && !keeper.isDown, 2)
  await keeper.stop()
})

test('of many changes of one policy the last is heard, in slices', async () => {
  const { keeper, world } = bed({ waiting: [...Array.from({ length: 450 }, (_, i) => policy(i + 1, `p${i % 2}`)), policy(451, 'last')] })
  await keeper.start()
  await until('the last', () => world.heard.includes('last'), 2)
  expect(new Set(world.slices).size).toBe(1)
  const slices = Math.ceil(451 / world.slices[0]!)
  expect(slices).toBeGreaterThan(1)
  expect(world.heard.length).toBeLessThanOrEqual(2 * slices + 1)
  await keeper.stop()
})

test('old news is forgotten from time to time, not at a start alone', async () => {
  jest.useFakeTimers()
  const { keeper, world } = bed()
  const started = keeper.start()
  await jest.advanceTimersByTimeAsync(10)
  await started
  await jest.advanceTimersByTimeAsync(3 * 3_600_000)
  expect(world.forgotten).toBeGreaterThanOrEqual(2)
  await keeper.stop()
})

test('a verifier that says nothing any more is missed when its lease ends, and not at the next turn', async () => {
  jest.useFakeTimers()
  const { keeper, world, agents } = bed({ others: 1 })
  const started = keeper.start()
  await jest.advanceTimersByTimeAsync(0)
  await started
  const ends = Date.now() + 1900 // between the first turn and the second
  world.firstEndMs = () => (world.living > 1 ? ends - Date.now() : Number.POSITIVE_INFINITY)
  setTimeout(() => {
    world.living = 1
    world.missed.push({ run: '1', name: 'verifier-b', silentMs: 6001 })
    world.free.push('orphan')
  }, 1900)
  await jest.advanceTimersByTimeAsync(1899)
  expect(agents.get('orphan')).toBeUndefined()
  await jest.advanceTimersByTimeAsync(10)
  expect(agents.get('orphan')).toBeDefined()
  expect(world.warnings).toEqual(['verifier-b has not been heard of for 6 s; its machines are taken over'])
  await keeper.stop()
})

describe('a machine that is let go', () => {
  test('is none for which a command is under way, which would put it back', async () => {
    const { keeper, world, agents, commands } = bed({ ids: ['a', 'b', 'c', 'd', 'e', 'f'], others: 1 })
    let end!: () => void
    const command = commands.take('a', () => new Promise<void>((resolve) => (end = resolve)))
    await keeper.start()
    expect(world.given).toEqual(['b', 'c', 'd'])
    expect(agents.get('a')).toBeDefined()
    end()
    await command
    await keeper.stop()
  })

  test('keeps a command waiting that comes meanwhile, until it is gone', async () => {
    const { keeper, world, agents, commands } = bed({ ids: ['a', 'b', 'c', 'd', 'e', 'f'], others: 1 })
    let saved!: () => void
    world.save = () => new Promise((resolve) => (saved = resolve))
    const started = keeper.start()
    await until('it to be let go', () => saved !== undefined)
    let found: unknown = 'nothing'
    const command = commands.take('a', async () => {
      found = agents.get('a')
    })
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(found).toBe('nothing')
    saved()
    await started
    await command
    expect([found, world.given]).toEqual([undefined, ['a', 'b', 'c']])
    await keeper.stop()
  })

  test('goes on where that cannot be stored', async () => {
    const { keeper, world, commands } = bed({ ids: ['a', 'b', 'c', 'd'], others: 1 })
    world.save = () => Promise.reject(new Error('away'))
    await expect(keeper.start()).rejects.toThrow('away')
    expect([world.given, world.resumed]).toEqual([[], ['a', 'b']])
    await commands.take('a', async () => undefined) // nobody holds it
  })
})

test('what a verifier that went had to tell is taken up although no machine becomes free, once, and again where that cannot be done at first', async () => {
  jest.useFakeTimers()
  const { keeper, world } = bed({ ids: ['a', 'b'], others: 1 })
  const started = keeper.start()
  await jest.advanceTimersByTimeAsync(10)
  await started
  expect(world.adopted).toBe(0)
  world.living = 1
  world.adopt = () => Promise.reject(new Error('the database is away'))
  await jest.advanceTimersByTimeAsync(3000)
  expect([world.adopted, keeper.isDown]).toEqual([0, true])
  world.adopt = async () => undefined
  await jest.advanceTimersByTimeAsync(6000)
  expect([world.adopted, keeper.isDown]).toEqual([1, false])
  await keeper.stop()
})
