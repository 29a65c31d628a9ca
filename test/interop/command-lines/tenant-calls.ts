import type { Machine } from '../machine.ts'

const UNKNOWN = 'd432fbb3-d2f1-4a97-9ef7-75bd81c00009'

/** An operator's calls of keylime_tenant in one order: every command, with what it answers to a thing that is there, twice there, and not there. */
export function tenantCalls({ id, port }: Machine): string[][] {
  const agent = ['-t', '127.0.0.1', '-tp', String(port), '-u', id]
  const policy = (command: string, ...rest: string[]) => ['-c', `${command}runtimepolicy`, '--runtime-policy-name', 'a', ...rest]
  const state = (command: string, ...rest: string[]) => ['-c', `${command}mbpolicy`, '--mb-policy-name', 'a', ...rest]
  const file = ['--runtime-policy', 'policy.json']
  return [
    ['-c', 'cvlist'],
    ['-c', 'reglist'],
    ['-c', 'regstatus', '-u', id],
    ['-c', 'regstatus', '-u', UNKNOWN],
    ['-c', 'cvstatus', '-u', id],
    ['-c', 'status', '-u', id],
    ['-c', 'bulkinfo'],
    ['-c', 'add', ...agent, '-f', 'secret'],
    ['-c', 'add', ...agent, '-f', 'secret'],
    ['-c', 'add', ...agent, '-f', 'none'],
    ['-c', 'add', ...agent],
    ['-c', 'cvlist'],
    ['-c', 'cvstatus', '-u', id],
    ['-c', 'status', '-u', id],
    ['-c', 'bulkinfo'],
    ['-c', 'listruntimepolicy'],
    policy('add', ...file),
    policy('add', ...file),
    ['-c', 'listruntimepolicy'],
    policy('show'),
    policy('update', ...file),
    policy('add', '--runtime-policy', 'broken.json'),
    policy('add', '--runtime-policy', 'none.json'),
    policy('add'),
    policy('delete'),
    policy('delete'),
    policy('show'),
    policy('update', ...file),
    state('add', '--mb-policy', 'state.json'),
    state('add', '--mb-policy', 'state.json'),
    state('show'),
    ['-c', 'listmbpolicy'],
    state('update', '--mb-policy', 'state.json'),
    state('delete'),
    state('delete'),
    state('show'),
    ['-c', 'reactivate', '-u', id],
    ['-c', 'reactivate', '-u', UNKNOWN],
    ['-c', 'update', ...agent, '-f', 'secret'],
    ['-c', 'delete', '-u', id],
    ['-c', 'delete', '-u', id],
    ['-c', 'regdelete', '-u', id],
    ['-c', 'regdelete', '-u', id],
    [],
    ['-c', 'nonsense'],
    ['-c', 'add', '--exclude', 'x'],
    ['--nonsense'],
    ['-c'],
    ['-h'],
  ]
}
