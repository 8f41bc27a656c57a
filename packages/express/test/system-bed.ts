import type { Limit, Plan, Subject, Window } from '@tallygate/core'
import { llmProxy, quotaMiddleware } from '@tallygate/express'
import { hostSubject, type QuotaOptions } from '@tallygate/flow'
import express from 'express'
import { ask, HELLO, openTestBed, type TestBed } from './test-bed.ts'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR
export const MONTH: Window = { kind: 'fixed', every: 'month' }
export const requests = (quota: number | null, window: Window, rest: Partial<Limit> = {}): Limit => {
  return { name: 'requests', unit: 'requests', quota, window, trip: 'reached', ...rest }
}
export const tokens = (quota: number | null, window: Window, rest: Partial<Limit> = {}): Limit => {
  return { name: 'tokens', unit: 'tokens', quota, window, trip: 'reached', ...rest }
}

export const PASSES = 200
export const REFUSED = 429

/** Who calls what, and what the provider makes of it. */
export interface SystemCall {
  readonly user?: string
  readonly groups?: readonly string[]
  readonly model?: string
  readonly service?: string
  readonly stream?: boolean
  /** Tokens in and out. Default: 1 and 1. */
  readonly tokens?: readonly [input: number, output: number]
  readonly fails?: number
}

/** A host with users, groups and services of its own, as each of the systems is one, in front of a scripted provider. */
export class SystemBed {
  readonly bed: TestBed
  readonly #url: string

  private constructor(bed: TestBed, url: string) {
    this.bed = bed
    this.#url = url
  }

  static async open(options: Partial<QuotaOptions>): Promise<SystemBed> {
    const bed = await openTestBed(options)
    const identified = quotaMiddleware({
      quota: bed.quota,
      keyGenerator: (req) => req.get('x-user'),
      dimensions: (req) => ({ user: req.get('x-user'), application: req.get('x-service') }),
      groups: (req) => (req.get('x-groups') ?? '').split(',').filter((group) => group !== ''),
    })
    const url = await bed.serve(express().use(identified, llmProxy({ target: bed.provider.url })))
    return new SystemBed(bed, url)
  }

  /** A plan that everybody has. */
  static of(limits: readonly Limit[], rest: Partial<Plan> = {}): Promise<SystemBed> {
    return SystemBed.open({ plans: [{ name: 'plan', limits, ...rest }], defaultPlans: ['plan'] })
  }

  /** Status of the answer, when its usage is in the counters. */
  async call({
    user = 'ann',
    groups = [],
    service,
    tokens: [input, output] = [1, 1],
    ...what
  }: SystemCall = {}): Promise<number> {
    const { model = HELLO.model, stream = false, fails } = what
    this.bed.provider.script = {
      text: 'Hi.',
      usage: { input, output },
      ...(fails === undefined ? {} : { status: fails }),
    }
    const headers = {
      'x-user': user,
      'x-groups': groups.join(),
      ...(service === undefined ? {} : { 'x-service': service }),
    }
    const { status } = await ask(this.#url, { key: '', headers, body: { ...HELLO, model, stream } })
    await this.bed.quota.drain(5_000)
    return status
  }

  /** Statuses of so many calls. */
  async calls(count: number, call: SystemCall = {}): Promise<readonly number[]> {
    const statuses: number[] = []
    for (let made = 0; made < count; made += 1) statuses.push(await this.call(call))
    return statuses
  }

  /** What is used of each limit of a caller. */
  async used(call: SystemCall = {}): Promise<Readonly<Record<string, number>>> {
    const { statuses } = await this.bed.quota.limitsOf(this.subject(call))
    return Object.fromEntries(statuses.map(({ bound, used }) => [bound.counter.name, used]))
  }

  subject({ user = 'ann', groups = [], service }: SystemCall = {}): Subject {
    return hostSubject(user, { user, ...(service === undefined ? {} : { application: service }) }, groups)
  }
}
