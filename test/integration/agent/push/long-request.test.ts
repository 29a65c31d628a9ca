import { until } from '../../../servers.ts'
import { NewsBed } from './news-bed.ts'

const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip // the agent mounts its tmpfs

describeAsRoot('an agent that nobody can call, and holds a long request', () => {
  const news = new NewsBed()
  beforeAll(() => news.start())
  afterAll(() => news.stop())

  const acted = (id: string) => until(`an action on ${id}`, () => news.acted().includes(id))

  test('acts upon a revocation at once, by the notifier that was introduced to it, and the verifier is told what became of it', async () => {
    const before = (await news.verifiers.status('d432fbb3-d2f1-4a97-9ef7-75bd81c00000')).attestation_count
    const asked = performance.now()
    const id = await news.revokeAnother()
    await acted(id)
    console.info(`from the operator's request to the end of the action on another machine: ${(performance.now() - asked).toFixed(0)} ms`)
    await until('the outcome', async () => (await news.written(id)).outcome === 'acted')
    expect((await news.verifiers.status('d432fbb3-d2f1-4a97-9ef7-75bd81c00000')).attestation_count).toBe(before) // within one pause of 30 s
  })

  test('one that comes while it is down is acted upon when it is back, once', async () => {
    await news.bed.stopAgent()
    const id = await news.revokeAnother()
    await news.startAgent()
    await acted(id)
    await until('the outcome', async () => (await news.written(id)).outcome === 'acted')
    await news.bed.stopAgent()
    await news.startAgent()
    const next = await news.revokeAnother()
    await acted(next)
    expect(news.acted().filter((one) => one === id)).toHaveLength(1)
  })

  test('after a restart of the verifier it attests, proves itself anew, and hears of the next one', async () => {
    await news.verifiers.restart()
    const id = await news.revokeAnother()
    await acted(id)
  })
})
