import { randomUUID } from 'node:crypto'
import {
  CompiledPlan,
  MemoryLedger,
  type Ledger,
  type Limit,
  type PlanSet,
  type Subject,
  type UsageEntry,
} from '@tallygate/core'
import { createQuota, type Quota } from '@tallygate/flow'
import { RedisCounterStore } from '@tallygate/store-redis'
import { startFaultProxy, startRedis, type FaultProxy, type TestRedis } from '@tallygate/testkit'
import { expect } from 'chai'

const QUOTA = 100
const SHARE = 0.2
const DECIDE_WITHIN_MS = 150
/** What a decision may take longer than it may wait. */
const MARGIN_MS = 20
/** The event loop comes round every millisecond or so; what takes longer than that is no matter of stores. */
const STALLED_MS = 5
const REQUEST = { method: 'POST', url: '/v1/anything', headers: {} }

/** The plans of callers, who are called after what their one limit does while the counters are away. */
const PLANS = {
  refuse: planSet({ onUnavailable: 'refuse' }),
  admit: planSet({ onUnavailable: 'admit' }),
  local: planSet({ onUnavailable: { local: SHARE } }),
}
type Policy = keyof typeof PLANS
const POLICIES: readonly Policy[] = ['refuse', 'admit', 'local']

/** One process: its connection, its quota, the ledger of all, and what it has seen for itself. */
class Node {
  readonly quota: Quota
  readonly ledger: Ledger
  readonly store: RedisCounterStore
  /** When something was logged. */
  readonly logged: { readonly message: string; readonly atMs: number }[] = []
  readonly decisions: Decided[] = []

  constructor(store: RedisCounterStore, ledger: Ledger) {
    this.store = store
    this.ledger = ledger
    const log = (message: string): void => void this.logged.push({ message, atMs: performance.now() })
    this.quota = createQuota({
      store,
      ledger: this.ledger,
      plans: {
        plans: [],
        plansOf: async ({ id }) => PLANS[id as Policy],
      },
      pepper: 'a pepper that is only for tests, and long enough',
      decideWithinMs: DECIDE_WITHIN_MS,
      logger: { warn: log, error: log },
    })
  }

  static async open(proxy: FaultProxy, prefix: string, ledger: Ledger): Promise<Node> {
    return new Node(await RedisCounterStore.connect({ url: `redis://127.0.0.1:${proxy.port}`, prefix }), ledger)
  }

  /** A call from its begin to its end: whether it was admitted, and how long that took. */
  async call(policy: Policy): Promise<Decided> {
    const call = this.quota.begin(REQUEST)
    call.identifyAs(subject(policy))
    await call.resolvePlans()
    const begunMs = performance.now()
    const denial = await call.admit()
    const decided = { policy, status: denial?.status ?? 200, begunMs, tookMs: performance.now() - begunMs }
    this.decisions.push(decided)
    if (denial === undefined) {
      call.recordAtEnd()
      await call.finishUnmetered('complete', 200)
    }
    return decided
  }

  /** Calls of each policy, one every few milliseconds. */
  async traffic(forMs: number): Promise<readonly Decided[]> {
    const calls: Promise<Decided>[] = []
    for (const untilMs = performance.now() + forMs; performance.now() < untilMs; await pause(10))
      calls.push(...POLICIES.map((policy) => this.call(policy)))
    return Promise.all(calls)
  }

  admitted(policy: Policy): number {
    return this.decisions.filter((each) => each.policy === policy && each.status === 200).length
  }

  saidAtMs(message: string): number | undefined {
    return this.logged.find((each) => each.message.startsWith(message))?.atMs
  }

  async used(policy: Policy): Promise<number> {
    const { statuses } = await this.quota.limitsOf(subject(policy))
    return statuses[0]!.used
  }

  async entries(policy: Policy): Promise<readonly UsageEntry[]> {
    const all = await this.ledger.entries(
      { tenant: 'default', fromMs: 0, toMs: Number.MAX_SAFE_INTEGER },
      { limit: 1e6 },
    )
    return all.filter(({ subject }) => subject === policy)
  }

  async close(): Promise<void> {
    await this.quota.close(2_000)
    await this.store.close()
  }
}

interface Decided {
  readonly policy: Policy
  readonly status: number
  readonly begunMs: number
  readonly tookMs: number
}

describe('Redis behind a network that fails', () => {
  let server: TestRedis
  let proxy: FaultProxy
  let nodes: Node[]
  const unhandled: unknown[] = []
  const keep = (reason: unknown): void => void unhandled.push(reason)

  before(async () => {
    process.on('unhandledRejection', keep)
    server = await startRedis()
  })
  after(async () => {
    process.off('unhandledRejection', keep)
    await server.stop()
  })
  beforeEach(async () => {
    const { hostname, port } = new URL(server.url)
    proxy = await startFaultProxy(Number(port), hostname)
    const prefix = `test:${randomUUID()}:`
    const ledger = new MemoryLedger()
    nodes = [await Node.open(proxy, prefix, ledger), await Node.open(proxy, prefix, ledger)]
  })
  afterEach(async () => {
    await proxy.restore()
    for (const node of nodes) await node.close()
    await proxy.close()
    expect(unhandled.splice(0)).to.deep.equal([])
  })

  /** Waits until calls are counted again, and all that happened meanwhile is. */
  async function recovered(node: Node): Promise<number> {
    const begunMs = performance.now()
    while ((await node.call('refuse')).status !== 200) {
      if (performance.now() - begunMs > 10_000) throw new Error('never came back')
      await pause(20)
    }
    return performance.now() - begunMs
  }

  const faults: readonly (readonly [name: string, begin: () => unknown])[] = [
    ['down', () => proxy.down()],
    ['slow', () => proxy.slow(3 * DECIDE_WITHIN_MS)],
    ['a black hole', () => proxy.blackHole()],
    ['half-open, so that no request arrives', () => proxy.halfOpen('requests')],
    ['half-open, so that no answer arrives', () => proxy.halfOpen('answers')],
  ]
  for (const [name, begin] of faults) {
    it(`${name}: limits do what they say, in time, and nothing is lost`, async () => {
      const [node] = nodes as [Node, Node]
      for (const policy of POLICIES) expect(await node.call(policy)).to.include({ status: 200 })
      const begunMs = performance.now()
      await begin()
      const stalls = new Stalls()
      const during = (await node.traffic(1_200)).map((decided) => stalls.without(decided))
      stalls.stop()

      expect(slowest(during, 1), 'the slowest decision').to.be.below(DECIDE_WITHIN_MS + MARGIN_MS)
      const openedAtMs = node.saidAtMs('the counters are away')!
      expect(openedAtMs - begunMs, 'until the breaker opened').to.be.below(1_000)
      const later = during.filter((decided) => decided.begunMs > openedAtMs)
      expect(later).to.have.length.above(10)
      expect(slowest(later, 0.95), 'decisions since then').to.be.below(MARGIN_MS)

      const statuses = (policy: Policy): number[] =>
        during.filter((each) => each.policy === policy).map((each) => each.status)
      expect(new Set(statuses('refuse'))).to.deep.equal(new Set([503]))
      expect(new Set(statuses('admit'))).to.deep.equal(new Set([200]))
      expect(statuses('local').filter((status) => status === 200)).to.have.length(QUOTA * SHARE)
      expect(new Set(statuses('local'))).to.deep.equal(new Set([200, 503]))

      await proxy.restore()
      expect(await recovered(node), 'until the breaker closed').to.be.below(2_000)
      await node.quota.drain(10_000)
      expect(node.quota.pending).to.equal(0)
      for (const policy of POLICIES) {
        const entries = await node.entries(policy)
        expect(entries, policy).to.have.length(node.admitted(policy))
        expect(await node.used(policy), policy).to.equal(node.admitted(policy))
        const without = entries.filter(({ withoutStore }) => withoutStore !== undefined)
        expect(without).to.have.length(during.filter((each) => each.policy === policy && each.status === 200).length)
        for (const { withoutStore, charges } of without) {
          expect(withoutStore).to.equal(policy)
          expect(charges.map(({ reserved, actual }) => [reserved, actual])).to.deep.equal([[0, 1]])
        }
      }
      const said = node.logged.map(({ message }) => message).filter((message) => message.startsWith('the counters are'))
      expect(said).to.deep.equal(['the counters are away: limits do what they say for that', 'the counters are back'])
    })
  }

  it('all nodes together admit no more than nodes × share × quota meanwhile, and all of it is counted', async () => {
    await proxy.down()
    await Promise.all(nodes.map((node) => node.traffic(600)))
    const admitted = nodes.map((node) => node.admitted('local'))
    expect(admitted).to.deep.equal([QUOTA * SHARE, QUOTA * SHARE])
    await proxy.restore()
    for (const node of nodes) {
      await recovered(node)
      await node.quota.drain(10_000)
    }
    expect(await nodes[0]!.used('local')).to.equal(2 * QUOTA * SHARE)
  })

  it('a connection that is dead for good is replaced', async () => {
    const [node] = nodes as [Node, Node]
    proxy.freeze()
    expect(await node.call('refuse')).to.include({ status: 503 })
    expect(await recovered(node)).to.be.below(2_000)
  })

  it('connections that are reset under load: a decision fails at once or is made, and counters agree', async () => {
    const [node] = nodes as [Node, Node]
    const traffic = node.traffic(600)
    for (let reset = 0; reset < 5; reset += 1) {
      await pause(100)
      proxy.reset()
    }
    await traffic
    await recovered(node)
    await node.quota.drain(10_000)
    expect(await node.used('refuse')).to.equal(node.admitted('refuse'))
    expect(await node.used('admit')).to.equal(node.admitted('admit'))
  })
})

/** When the event loop stood still: for the work of others, of the machine or of the test itself. */
class Stalls {
  readonly #spans: { readonly fromMs: number; readonly toMs: number }[] = []
  readonly #timer: NodeJS.Timeout
  #lastMs = performance.now()

  constructor() {
    this.#timer = setInterval(() => this.#tick(), 1)
  }

  /** A decision that has just ended, or earlier, as long as it would have taken had the loop gone on. */
  without(decided: Decided): Decided {
    const [begunMs, endedMs] = [decided.begunMs, decided.begunMs + decided.tookMs]
    const stalledMs = this.#spans
      .map(({ fromMs, toMs }) => Math.max(0, Math.min(toMs, endedMs) - Math.max(fromMs, begunMs)))
      .reduce((total, each) => total + each, 0)
    return { ...decided, tookMs: decided.tookMs - stalledMs }
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #tick(): void {
    const nowMs = performance.now()
    if (nowMs - this.#lastMs > STALLED_MS) this.#spans.push({ fromMs: this.#lastMs, toMs: nowMs })
    this.#lastMs = nowMs
  }
}

/** What a share of decisions took at most, in milliseconds. */
function slowest(decisions: readonly Decided[], share: number): number {
  const took = decisions.map(({ tookMs }) => tookMs).toSorted((one, other) => one - other)
  return took[Math.ceil(took.length * share) - 1]!
}

function planSet(also: Pick<Limit, 'onUnavailable'>): PlanSet {
  const calls: Limit = { name: 'calls', unit: 'requests', quota: QUOTA, window: { kind: 'lifetime' }, ...also }
  return { plans: [new CompiledPlan({ name: 'plan', limits: [calls] })], combine: 'all' }
}

function subject(id: Policy): Subject {
  return { id, tenant: 'default', standing: 'registered', dimensions: { tenant: 'default', key: id } }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
