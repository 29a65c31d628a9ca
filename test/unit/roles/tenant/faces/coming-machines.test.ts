import { agentOptions } from '../../../../../src/config/agent.ts'
import { optionsOf } from '../../../../../src/roles/tenant/faces/options-of-arguments.ts'
import { eventJson } from '../../../../../src/roles/tenant/faces/render-json.ts'

test('a machine that brings its evidence is waited for longer than the longest pause of an agent that is not enrolled, unless --timeout is given', () => {
  const pause = agentOptions.attestation_interval_seconds.default // and a fifth more at most
  expect(optionsOf({ uuid: 'a' }, 'add')).toMatchObject({ timeoutSeconds: 60 })
  expect(optionsOf({ uuid: 'a' }, 'add').comesWithinSeconds).toBeGreaterThan(pause * 1.2)
  expect(optionsOf({ uuid: 'a', timeout: 5 }, 'add')).toMatchObject({ timeoutSeconds: 5, hurried: true })
  expect(optionsOf({ uuid: 'a', timeout: 5 }, 'add')).not.toHaveProperty('comesWithinSeconds')
})

test('a machine that nobody calls has no address in --json', () => {
  const found = { type: 'agent_found', agentId: 'a', host: '', port: 9002, by: 'id', regcount: 1 } as const
  expect(JSON.parse(eventJson({ ...found, comesBy: 'push' })!)).toMatchObject({ host: null, port: null, comes_by: 'push' })
  expect(JSON.parse(eventJson({ ...found, host: '10.0.0.7', comesBy: 'pull' })!)).toMatchObject({ host: '10.0.0.7', port: 9002 })
})

test('a machine comes by itself, or is asked at an address: not both', () => {
  const both = { uuid: 'a', 'push-model': true, cv_targethost: '10.0.0.7' }
  expect(() => optionsOf(both, 'update')).toThrow('--push-model and --cv_targethost exclude each other')
  expect(optionsOf({ ...both, 'push-model': false }, 'update')).toMatchObject({ cvTargetHost: '10.0.0.7' })
})
