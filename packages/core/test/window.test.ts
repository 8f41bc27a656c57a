import { assertWindow, MAX_DURATION_MS, type Window } from '@tallygate/core'
import { expect } from 'chai'
import { complaint } from './complaint.ts'

describe('assertWindow', () => {
  const good: readonly Window[] = [
    { kind: 'fixed', every: 'month' },
    { kind: 'fixed', every: 'month', count: 1_200, zone: 'Europe/Berlin', anchor: { dayOfMonth: 31, hour: 23 } },
    { kind: 'fixed', every: 'week', anchor: { weekday: 7, hour: 0 } },
    { kind: 'fixed', every: 'second', count: 86_400 },
    { kind: 'fixed', durationMs: 1 },
    { kind: 'fixed', durationMs: MAX_DURATION_MS },
    { kind: 'sliding', durationMs: 60_000 },
    { kind: 'sliding', durationMs: 1_000, buckets: 1_000 },
    { kind: 'sliding', durationMs: 1, buckets: 1 },
    { kind: 'first-use', durationMs: 60_000, then: 'restart' },
    { kind: 'first-use', durationMs: 60_000, then: 'end' },
    { kind: 'lifetime' },
    { kind: 'concurrent' },
  ]
  for (const window of good) {
    it(`takes ${JSON.stringify(window)}`, () => {
      expect(complaint(() => assertWindow(window, 'window'))).to.equal('nothing')
    })
  }

  const bad: readonly { window: unknown; says: string }[] = [
    { window: undefined, says: 'window is undefined: use an object with a kind: fixed' },
    { window: null, says: 'window is null: use an object' },
    { window: 'day', says: 'window is "day": use an object' },
    { window: [], says: 'window.kind is undefined: use fixed, sliding' },
    { window: {}, says: 'window.kind is undefined: use fixed, sliding' },
    { window: { kind: 'constructor' }, says: 'window.kind is "constructor": use fixed, sliding' },
    { window: { kind: 'fixed' }, says: 'window.every is undefined: use one of second' },
    { window: { kind: 'fixed', every: 'fortnight' }, says: 'window.every is "fortnight": use one of second' },
    { window: { kind: 'fixed', every: 'day', durationMs: 5 }, says: 'window.every is "day": there is no such member' },
    { window: { kind: 'fixed', every: 'day', timezone: 'UTC' }, says: 'window.timezone is "UTC": there is no such' },
    { window: { kind: 'fixed', every: 'day', count: 0 }, says: 'window.count is 0: use a whole number from 1 to 3660' },
    { window: { kind: 'fixed', every: 'day', count: 1.5 }, says: 'window.count is 1.5: use a whole number' },
    {
      window: { kind: 'fixed', every: 'hour', count: 169 },
      says: 'window.count is 169: use a whole number from 1 to 168',
    },
    { window: { kind: 'fixed', every: 'year', count: 401 }, says: 'window.count is 401: use a whole number' },
    {
      window: { kind: 'fixed', every: 'day', zone: 'Berlin' },
      says: 'window.zone is "Berlin": use a name of the IANA',
    },
    { window: { kind: 'fixed', every: 'day', zone: 5 }, says: 'window.zone is 5: use a name of the IANA' },
    { window: { kind: 'fixed', every: 'day', anchor: null }, says: 'window.anchor is null: use an object with dayOf' },
    {
      window: { kind: 'fixed', every: 'day', anchor: { minute: 5 } },
      says: 'window.anchor.minute is 5: there is no such',
    },
    {
      window: { kind: 'fixed', every: 'day', anchor: { hour: 24 } },
      says: 'window.anchor.hour is 24: use a whole number',
    },
    {
      window: { kind: 'fixed', every: 'hour', anchor: { hour: 1 } },
      says: 'window.anchor.hour is 1: only windows of day',
    },
    {
      window: { kind: 'fixed', every: 'day', anchor: { weekday: 1 } },
      says: 'window.anchor.weekday is 1: only windows',
    },
    {
      window: { kind: 'fixed', every: 'week', anchor: { weekday: 0 } },
      says: 'window.anchor.weekday is 0: use a whole',
    },
    {
      window: { kind: 'fixed', every: 'month', anchor: { dayOfMonth: 32 } },
      says: 'window.anchor.dayOfMonth is 32: use',
    },
    { window: { kind: 'fixed', durationMs: 0 }, says: 'window.durationMs is 0: use a whole number from 1 to' },
    { window: { kind: 'fixed', durationMs: Infinity }, says: 'window.durationMs is Infinity: use a whole number' },
    { window: { kind: 'fixed', durationMs: '60s' }, says: 'window.durationMs is "60s": use a whole number' },
    { window: { kind: 'sliding' }, says: 'window.durationMs is undefined: use a whole number' },
    { window: { kind: 'sliding', durationMs: MAX_DURATION_MS + 1 }, says: 'window.durationMs is 12648960000001: use' },
    { window: { kind: 'sliding', durationMs: 60_000, buckets: 0 }, says: 'window.buckets is 0: use a whole number' },
    { window: { kind: 'sliding', durationMs: 60_000, buckets: 1_001 }, says: 'window.buckets is 1001: use a whole' },
    { window: { kind: 'sliding', durationMs: 5 }, says: 'window.buckets is 10: a window of 5 ms has at most' },
    { window: { kind: 'sliding', durationMs: 60_000, every: 'day' }, says: 'window.every is "day": there is no such' },
    { window: { kind: 'first-use', durationMs: 60_000 }, says: "window.then is undefined: use 'restart' or 'end'" },
    { window: { kind: 'first-use', durationMs: NaN, then: 'end' }, says: 'window.durationMs is NaN: use a whole' },
    { window: { kind: 'lifetime', durationMs: 60_000 }, says: 'window.durationMs is 60000: there is no such member' },
  ]
  for (const { window, says } of bad) {
    it(`says: ${says} …`, () => {
      expect(
        complaint(() => assertWindow(window as Window, 'window')).startsWith(`ERR_QUOTA_CONFIG: ${says}`),
      ).to.equal(
        true,
        complaint(() => assertWindow(window as Window, 'window')),
      )
    })
  }
})
