import { readMachineList } from '../../../../src/io/files/machine-list.ts'

const values = (text: string, file = 'fleet.csv') => readMachineList(text, file).map((machine) => machine.values)

describe('a list of machines', () => {
  test('without a first line of names a CSV has address and id', () => {
    expect(values('10.0.0.7,web-1\n10.0.0.8\n,db-1\n')).toEqual([
      { targethost: '10.0.0.7', uuid: 'web-1' },
      { targethost: '10.0.0.8' },
      { uuid: 'db-1' },
    ])
  })

  test('columns are named by the first line, in any order and by any of their names', () => {
    const text = '\ufeffid, Address ,runtime-policy-name\r\n# a comment\r\nweb-1,10.0.0.7,web\r\n\r\ndb-1,fd00::8,\r\n'
    expect(values(text)).toEqual([
      { uuid: 'web-1', targethost: '10.0.0.7', 'runtime-policy-name': 'web' },
      { uuid: 'db-1', targethost: 'fd00::8' },
    ])
  })

  test('cells in quotes hold commas, quotes and lines, and the numbers of lines go on', () => {
    const machines = readMachineList('id,tpm_policy\na,"{""15"": [""00"",\n""11""]}"\nb,x', 'f.csv')
    expect(machines).toEqual([
      { line: 2, values: { uuid: 'a', tpm_policy: '{"15": ["00",\n"11"]}' } },
      { line: 4, values: { uuid: 'b', tpm_policy: 'x' } },
    ])
  })

  test('YAML is a list of maps', () => {
    expect(values('- address: 10.0.0.7\n  id: 12345\n- {id: db-1, file: s.txt}\n', 'fleet.yml')).toEqual([
      { targethost: '10.0.0.7', uuid: '12345' },
      { uuid: 'db-1', file: 's.txt' },
    ])
  })

  test.each([
    ['nothing', '', 'f.csv', 'lists no machine'],
    ['only names', 'address,id\n', 'f.csv', 'lists no machine'],
    ['more cells than names', 'a,b,c\n', 'f.csv', 'line 1 of f.csv has 3 columns, 2 are named'],
    ['a quote that is not closed', 'id\n"a\n', 'f.csv', 'line 2 of f.csv is not CSV'],
    ['a quote inside of a cell', 'id\na"b\n', 'f.csv', 'is not CSV'],
    ['YAML that is a map', 'id: a\n', 'f.yaml', 'is not a list of machines'],
    ['YAML that is none', '- [', 'f.yaml', 'is not YAML'],
    ['YAML with aliases', '- &a {id: x}\n- *a\n', 'f.yaml', 'is not YAML'],
    ['values that are lists', '- id: [a]\n', 'f.yaml', 'is not a list of machines'],
  ])('%s is refused', (_what, text, file, message) => {
    expect(() => readMachineList(text, file)).toThrow(
      expect.objectContaining({ code: 'malformed', message: expect.stringContaining(message) }),
    )
  })

  test('a large list is read in a moment that grows with its length', () => {
    const text = `id\n${Array.from({ length: 50_000 }, (_, i) => `m${i}`).join('\n')}`
    expect(readMachineList(text, 'f.csv')).toHaveLength(50_000)
  })
})
