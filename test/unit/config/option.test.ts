import { boolean, integer, integerBetween, list, literalList, oneOf, path, port, seconds } from '../../../src/config/option.ts'

describe('option parsers', () => {
  test.each(['1', 'yes', 'TRUE', 'On'])('boolean takes %s as true', (word) => expect(boolean(word)).toBe(true))
  test.each(['0', 'no', 'False', 'OFF'])('boolean takes %s as false', (word) => expect(boolean(word)).toBe(false))
  test.each(['', '2', 'ja'])('boolean refuses "%s"', (word) => expect(() => boolean(word)).toThrow('true or false'))

  test('integer takes a sign and refuses anything else', () => {
    expect(integer('-1')).toBe(-1)
    for (const bad of ['', '1.5', '0x10', '1e3', ' 1']) expect(() => integer(bad)).toThrow('whole number')
  })
  test('integerBetween keeps its bounds', () => {
    expect(integerBetween(1, 3)('3')).toBe(3)
    expect(() => integerBetween(1, 3)('4')).toThrow('from 1 to 3')
  })
  test('seconds takes decimals and refuses negative and empty text', () => {
    expect([seconds('2'), seconds('0.5'), seconds('.25'), seconds('0')]).toEqual([2, 0.5, 0.25, 0])
    for (const bad of ['', '-1', 'Infinity', '2s']) expect(() => seconds(bad)).toThrow('seconds')
  })
  test('port takes 0 to 65535', () => {
    expect([port('0'), port('65535')]).toEqual([0, 65_535])
    for (const bad of ['65536', '-1', '']) expect(() => port(bad)).toThrow('port')
  })
  test('oneOf names the words', () => {
    expect(oneOf('a', 'b')('b')).toBe('b')
    expect(() => oneOf('a', 'b')('c')).toThrow('a, b')
  })
  test('path refuses a zero byte', () => expect(() => path('a\0b')).toThrow('zero byte'))

  test.each([
    [`['a', "b"]`, ['a', 'b']],
    ['["a", "b",]', ['a', 'b']],
    ["('a')", ["('a')"]],
    ['a, b', ['a', 'b']],
    ['[a, b]', ['a', 'b']],
    ['[]', []],
    ['', []],
    ["[ ' x ' ]", ['x']],
    ['["a",\n"b"]', ['a', 'b']],
    ['"a", \'b\'', ['a', 'b']],
  ])('list reads %s', (text, expected) => expect(list(text)).toEqual(expected))
  test.each(["['a'", "['a' 'b']", '[a]]', "['a'] x"])('list refuses %s', (text) => expect(() => list(text)).toThrow('must be a list'))

  test('literalList reads Python and JSON objects', () => {
    const parse = literalList((item) => item)
    expect(parse(`[{"a": 1, 'b': [True, None]}, ("x", 2.5)]`)).toEqual([{ a: 1, b: [true, null] }, ['x', 2.5]])
    expect(() => parse('{"a": 1}')).toThrow('must be a list')
    expect(() => parse('[__import__("os")]')).toThrow('must be a list')
  })
})
