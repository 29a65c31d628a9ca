import { createMetrics } from '../../../src/io/metrics/metrics.ts'
import { Tally } from '../../../src/io/metrics/tally.ts'

test('a tally puts each duration into the first bucket that holds it, and buckets add up', () => {
  const tally = new Tally([0.1, 1])
  for (const seconds of [0, 0.1, 0.100001, 1, 1.5, 60]) tally.add(seconds)
  expect(tally.read()).toEqual({
    buckets: [
      { le: 0.1, count: 2 },
      { le: 1, count: 4 },
      { le: '+Inf', count: 6 },
    ],
    sum: expect.closeTo(62.700001),
    count: 6,
  })
})

test('the text has each kind of figure in the form of Prometheus', async () => {
  const metrics = await createMetrics('keylime_test')
  metrics.counter({ name: 'events_total', help: 'Events.', labels: ['event'] }).inc({ event: 'a' }, 2)
  metrics.gauge({ name: 'agents', help: 'Machines.' }, (own) => own.set(3))
  metrics.total({ name: 'asked_total', help: 'Asked.' }, (own) => own.inc(7))
  metrics.histogram({ name: 'commit_seconds', help: 'Commits.' }, [1]).observe(2)
  const tallies = metrics.tallies({ name: 'stage_seconds', help: 'Stages.', labels: ['stage'] }, ['ask', 'judge'], [1])
  tallies.ask.add(0.5)
  const first = await metrics.text()
  expect(await metrics.text()).toEqual(first) // what is read at a scrape is not added up
  expect(first.type).toMatch(/^text\/plain/)
  expect(first.body.split('\n')).toEqual(
    expect.arrayContaining([
      'keylime_test_events_total{event="a"} 2',
      '# TYPE keylime_test_agents gauge',
      'keylime_test_agents 3',
      'keylime_test_asked_total 7',
      'keylime_test_commit_seconds_bucket{le="+Inf"} 1',
      '# TYPE keylime_test_stage_seconds histogram',
      'keylime_test_stage_seconds_bucket{le="1",stage="ask"} 1',
      'keylime_test_stage_seconds_bucket{le="+Inf",stage="judge"} 0',
      'keylime_test_stage_seconds_sum{stage="ask"} 0.5',
      'keylime_test_stage_seconds_count{stage="ask"} 1',
    ]),
  )
})
