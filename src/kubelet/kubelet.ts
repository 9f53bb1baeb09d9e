/**
 * The kubelet: builds the line desired → dispatch → execute → observe → report, closes the loop, and runs it.
 * READ THIS FIRST. Every room is built here from what it needs; the loop is closed in the few places marked "loop".
 */
import { join } from 'node:path';
import { openServiceManager } from '../adapters/systemd/service-manager.ts';
import { type Clock, rfc3339Seconds } from '../base/clock.ts';
import { withDeadline } from '../base/deadline.ts';
import { NotFoundError, describeError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { runLoop } from '../base/run-loop.ts';
import { aborted, runTogether } from '../base/run-together.ts';
import type { ApiClient } from '../client/api-client.ts';
import { EventRecorder, type EventSink } from '../client/event-recorder.ts';
import type { Pod } from '../objects/generated/core-v1.ts';
import { podQos } from '../objects/qos.ts';
import type { KubeletConfig } from './config.ts';
import { PodDoor } from './desired/pod-door.ts';
import type { Rejection } from './dispatch/admit-pod.ts';
import { ActiveDeadlines } from './dispatch/active-deadlines.ts';
import { onlyEphemeral, withoutEphemeral } from './dispatch/ephemeral-door.ts';
import { PodIntake } from './dispatch/pod-intake.ts';
import { refuseEphemeral, refuseUnsupported } from './dispatch/refuse-unsupported.ts';
import { PodWorkers, exceededGracePeriod } from './dispatch/pod-workers.ts';
import { preempted } from './dispatch/select-victims.ts';
import { podGraceSeconds } from './execute/compute-grace.ts';
import { ContainerKiller } from './execute/container-kill.ts';
import { CrashBackoff } from './execute/crash-backoff.ts';
import { PodRuntime } from './execute/pod-runtime.ts';
import { StopSignalCheck } from './execute/stop-signal-check.ts';
import { StartPacer, paceFor } from './execute/start-pacer.ts';
import { storageTarget, nodeEvents, podEvents, podTarget } from './events.ts';
import { KubeletApi } from './kubelet-api.ts';
import { makeCsi } from './kubelet-csi.ts';
import { makeImageCollector, makeImages, readPullSecrets } from './kubelet-images.ts';
import { type MachinePlaces, openMachine } from './kubelet-machine.ts';
import { makeServer } from './kubelet-server.ts';
import { Sources } from './kubelet-sources.ts';
import { Housekeeping } from './housekeeping.ts';
import { Observe } from './observe/observe.ts';
import { RuntimeStatus } from './observe/runtime-status.ts';
import { PodParts } from './pod-parts.ts';
import { configSeenAnnotation, isRunning, isStaticPod, podContainers, uidOf } from './pod-model.ts';
import { PodReport } from './pod-report.ts';
import { PodSync } from './pod-sync.ts';
import { PodWhy } from './pod-why.ts';
import { ProcessMeter } from './process-figures.ts';
import { hostIpsOf } from './report/host-ips.ts';
import { NodeLease } from './report/node-lease.ts';
import { NodeReporter } from './report/node-reporter.ts';
import { PodStatusWriter } from './report/pod-status-writer.ts';
import { HealthServer } from './serve/health-server.ts';
import { metadataField, resourceField } from './support/environment/field-path.ts';
import { hostResolverProblems } from './support/environment/host-resolver.ts';
import { Counts } from './support/metrics/metrics.ts';
import { ContainerLogs } from './support/logs/logs.ts';
import { WatchedObjects } from './support/objects/watched-objects.ts';
import { Probes } from './support/probes/probes.ts';
import { watchDriver } from './support/resources/cgroup-driver.ts';
import { enforceReserved } from './support/resources/reserved-cgroups.ts';
import { PodCgroups } from './support/resources/resources.ts';
import { refuseAppArmor, refuseSysctls } from './support/security/admit-security.ts';
import { UserNamespaces } from './support/security/user-namespaces.ts';
import { TerminationMessages, keepEnd } from './support/termination/termination-messages.ts';
import { openCgroupDriver } from './kubelet-cgroups.ts';
import { makeTrust } from './kubelet-trust.ts';
import { makeResizes } from './kubelet-resizes.ts';
import { KubeletStats } from './kubelet-stats.ts';
import { resourceChanges } from './support/resize/pod-resources.ts';
import { Volumes } from './support/volumes/volumes.ts';
import { warnOfSwap } from './support/volumes/warn-of-swap.ts';

export interface KubeletOptions {
  config: KubeletConfig;
  /** Undefined: standalone, static pods only. */
  api: ApiClient | undefined;
  /** For heartbeats and events, which must neither wait for the pods' requests nor hold them up; default `api`. */
  sideApi?: ApiClient | undefined;
  /** Other places than a node's usual ones. */
  places?: Partial<MachinePlaces>;
  clock: Clock;
  log: Logger;
}

const objectWaitMs = 10_000;
const relistPeriodMs = 1000;
/** Pods start first, then the API is told how. */
const eventHoldMs = 500;
const nodeWaitMs = 20;

/** Runs until `signal` aborts. Pods go on running. @throws when the machine or the configuration cannot carry a kubelet */
export async function runKubelet(
  { config, api: client, sideApi = client, places = {}, clock, log }: KubeletOptions,
  signal: AbortSignal,
): Promise<void> {
  const startedMs = clock.nowMs();
  const meter = new ProcessMeter(clock);
  const { nodeName } = config;
  const counts = new Counts();

  // ---- the machine
  const machine = await openMachine(config, places, clock, (method, ms, hasFailed) =>
    counts.runtimeCalled(method, ms, hasFailed),
  );
  const { host, facts, mounts, cri, containerLogsDir } = machine;
  const { allocatable } = machine.resources;
  const driver = await openCgroupDriver({ config, machine, clock, log: log.child({ room: 'resources' }) }, signal);
  const runtimeName = { value: 'containerd', version: '' };

  // ---- what is said
  const recorder =
    sideApi === undefined
      ? undefined
      : new EventRecorder({
          client: sideApi,
          component: 'kubelet',
          host: nodeName,
          qps: config.eventRecordQps,
          burst: config.eventBurst,
          holdMs: eventHoldMs,
          clock,
          log: log.child({ room: 'events' }),
        });
  const sink: EventSink = recorder ?? {
    record: (target, type, reason, message) => log.info({ object: target.name, type, reason, message }, 'event'),
  };
  const events = podEvents(sink);
  const nodeEvent = nodeEvents(sink, nodeName);

  // ---- what the API knows
  const room = (name: string): Logger => log.child({ room: name });
  const door = new PodDoor();
  const readPod = (raw: unknown, before?: Pod): Pod => door.read(raw, before);
  const known =
    client === undefined ? undefined : new KubeletApi({ client, nodeName, readPod, clock, log: room('api') });
  const why: PodWhy = new PodWhy({
    rootDir: config.rootDir,
    store: {
      get: (uid) => store.get(uid),
      get isComplete() {
        return store.isComplete;
      },
    },
    workers: { state: (uid) => workers.state(uid), turn: (uid) => workers.turn(uid) },
    status: (uid) => statuses.get(uid),
    isRejected: (uid) => intake.isRejected(uid),
    runtimeErrors: () => runtimeStatus.runtimeErrors(),
    networkError: () => runtimeStatus.networkError(),
    pullFilledBytes: (uid, s) => images.pullFilledBytes(uid, s),
    onExit: (pod, name, { exitCode, reason = '' }) => {
      const kind = podContainers(pod).find(({ spec }) => spec.name === name)?.kind ?? 'regular';
      counts.containerEnded(kind, exitCode, reason);
    },
    clock,
    log: room('timeline'),
  });
  const { timeline } = why;
  const withoutApi = (what: string): never => {
    throw new NotFoundError(`Cannot read ${what}: this kubelet has no API server`);
  };
  const objects = new WatchedObjects({
    watch: (kind, namespace, name, onChange) => {
      if (known === undefined) throw new Error('not supported due to running kubelet in standalone mode');
      return known.watchObject(kind, namespace, name, onChange);
    },
    onChange: (kind, namespace, name, uids) => {
      volumes.markObject(kind, namespace, name);
      for (const uid of uids) if (sync.waitsForObjects(uid)) workers.mark(uid); // loop: it may be what they wait for
    },
    waitMs: objectWaitMs,
    withDeadline: (what, ms, s, work) => withDeadline(what, ms, clock, s, work),
  });

  // ---- observe
  const observe: Observe = new Observe({
    cri,
    onChange: (uid, isNews) => {
      workers.noteChange(uid, isNews); // loop: what changed in the runtime gives the pod a turn
      housekeeping.collect(uid);
    },
    isBusy: (uid) => workers.isBusy(uid),
    relistPeriodMs,
    onRelist: (durationMs, gapMs) => counts.relisted(durationMs, gapMs, clock.nowMs()),
    clock,
    log: room('observe'),
  });
  const runtimeStatus = new RuntimeStatus({
    cri,
    onChange: () => nodeReporter.markChanged(),
    clock,
    log: room('observe'),
  });

  // ---- desired
  const sources = new Sources({
    config,
    client,
    api: known,
    door,
    onChanges: (changes) => {
      why.podsChanged(changes);
      intake.take(changes); // loop: what should run goes to its lane
    },
    events,
    clock,
    log: room('desired'),
  });
  const { store } = sources;

  // ---- support
  const logs = new ContainerLogs({
    logsDirectory: config.podLogsDir,
    rotation: {
      maxSizeBytes: config.containerLogMaxBytes,
      maxFiles: config.containerLogMaxFiles,
      workersMax: config.containerLogMaxWorkers,
      periodMs: config.containerLogMonitorPeriodMs,
    },
    runningContainers: async () =>
      [...observe.list()].flatMap(({ containers }) =>
        containers.filter(({ state }) => state === 'running').map(({ id, logPath }) => ({ id, logPath })),
      ),
    reopen: (id, s) => cri.reopenContainerLog(id, s),
    clock,
    log: room('logs'),
  });
  const messages = new TerminationMessages({
    tailLog: async (path, lines, bytes, s) => {
      const options = { follow: false, tailLines: lines, sinceMs: undefined, timestamps: false, limitBytes: undefined };
      return keepEnd(await logs.read(path, options, () => Promise.resolve(false), s), bytes);
    },
    log: room('termination'),
  });
  const images = makeImages({
    config,
    cri,
    host,
    api: known,
    events,
    phases: timeline,
    counts,
    clock,
    log: room('images'),
  });
  const { csi, plugins } = makeCsi({
    rootDir: config.rootDir,
    nodeName,
    client,
    api: known,
    mounts,
    events,
    onDriver: (name) => volumes.node.driverCame(name), // loop: what waits for a driver is tried at once
    onProblems: () => nodeReporter.markChanged(),
    clock,
    room,
  });
  const trust = makeTrust({
    config,
    api: known,
    onChange: (isMeant) => {
      const uids = volumes.markVolumes(isMeant);
      for (const uid of uids) if (sync.waitsForObjects(uid)) workers.mark(uid); // loop: it may be what they wait for
    },
    events,
    clock,
    log: room('trust'),
  });
  const volumes: Volumes = new Volumes({
    getTrustAnchors: trust.getTrustAnchors,
    getPodCertificate: trust.getPodCertificate,
    rootDir: config.rootDir,
    syncFrequencyMs: config.syncPeriodMs,
    clock,
    log: room('volumes'),
    event: events.pod,
    phases: timeline,
    getPod: (uid) => store.get(uid),
    getConfigMap: (namespace, name, s) => objects.configMap(namespace, name, s),
    getSecret: (namespace, name, s) => objects.secret(namespace, name, s),
    podFields: (pod) => ({
      field: (path) => metadataField(pod, path),
      resource: (selector) =>
        resourceField(resizes.given(pod), selector, { nodeAllocatable: allocatable, usesPodLimits: false }),
    }),
    requestToken: async (wish, s) => {
      if (known === undefined) throw new Error('cannot use TokenManager when kubelet is in standalone mode');
      return await known.requestToken(wish, s);
    },
    mounts,
    nodeAllocatable: () => allocatable,
    nodeName,
    csi: client === undefined ? undefined : csi,
    getClaim: async (namespace, name, s) =>
      known?.readClaim(namespace, name, s) ?? withoutApi(`PersistentVolumeClaim "${namespace}/${name}"`),
    getVolume: async (name, s) => known?.readVolume(name, s) ?? withoutApi(`PersistentVolume "${name}"`),
    storageEvent: (object, type, reason, message) => sink.record(storageTarget(object), type, reason, message),
    patchClaimStatus: async (claim, status, s) => known?.patchClaimStatus(claim, status, s),
    ownNode: () => nodeReporter.node(),
    readNode: (s) => known?.readNode(s) ?? Promise.resolve(undefined),
    isComplete: () => store.isComplete,
    activePods: () => store.list().filter((pod) => workers.isActive(uidOf(pod))),
    onInUse: () => nodeReporter.markChanged(),
    onOperation: (ended) => counts.volumeOperation(ended),
  });
  const podCgroups = new PodCgroups({
    cgroups: driver.groups,
    names: driver.names,
    cgroupRoot: config.cgroupRoot,
    node: machine.resources,
    machine: facts,
    enforceNodeAllocatable: config.enforceNodeAllocatable,
    options: {
      cpuCfsQuota: config.cpuCfsQuota,
      cpuCfsQuotaPeriodMicros: config.cpuCfsQuotaPeriodMicros,
      podPidsLimit: config.podPidsLimit,
      hugepageSizes: machine.size.hugepageSizes,
    },
    event: nodeEvent,
    log: room('resources'),
  });
  const { resizes, records, carryOut } = makeResizes({
    config,
    machine,
    groups: driver.groups,
    cgroupOf: (pod) => podCgroups.parentFor(pod),
    desired: (uid) => store.get(uid),
    refusal: (pod) => intake.refusal(pod),
    onGiven: (pod) => workers.update({ pod }), // loop: what a pod was given goes to its lane
    onStatusChanged: (uid) => workers.mark(uid),
    isComplete: () => store.isComplete,
    events,
    counts,
    clock,
    log: room('resize'),
  });
  const probes = new Probes({
    podStatus: (uid) => statuses.get(uid),
    execSync: (id, command, timeout, s) => cri.execSync(id, command, timeout, s),
    onResult: ({ podUid, kind }) => {
      const state = workers.isBusy(podUid) ? workers.state(podUid) : undefined;
      if (state !== undefined && kind !== 'liveness') sync.retell(state);
      workers.mark(podUid); // loop: a probe's verdict gives the pod a turn
    },
    event: (pod, fieldPath, { type, reason, message }) =>
      sink.record({ ...podTarget(pod), fieldPath }, type, reason, message),
    onAttempt: ({ pod, container, kind, spec }, outcome) =>
      why.probed({
        pod,
        container: container.name,
        kind,
        hasSucceeded: outcome.kind === 'success' || outcome.kind === 'warning',
        text: outcome.kind === 'error' ? describeError(outcome.err) : outcome.output,
        periodMs: (spec.periodSeconds ?? 10) * 1000,
      }),
    kubeletStartedMs: startedMs,
    clock,
    log: room('probes'),
  });

  // ---- report
  const statuses: PodStatusWriter = new PodStatusWriter({
    api: client,
    apiCopy: (uid) => {
      const pod = store.get(uid);
      return pod === undefined ? undefined : isStaticPod(pod) ? store.mirrorOf(pod) : pod;
    },
    couldHaveRunningContainers: (uid) =>
      !intake.isRejected(uid) && workers.couldHaveRunningContainers(uid, store.isComplete),
    isFinished: (uid) => workers.isFinished(uid),
    onWritten: (sinceChangeMs) => counts.statusWritten(sinceChangeMs),
    clock,
    log: room('report'),
  });
  const nodeReporter: NodeReporter = new NodeReporter({
    api: sideApi,
    nodeName,
    config,
    host,
    facts: () => Promise.resolve(facts),
    resources: () => Promise.resolve(machine.resources),
    runtimeVersion: async (s) => {
      const version = await cri.version(s);
      runtimeName.value = version.runtimeName;
      runtimeName.version = version.runtimeVersion;
      return version;
    },
    runtimeStatus: () => runtimeStatus.current,
    runtimeErrors: () => [
      ...runtimeStatus.runtimeErrors(),
      ...[observe.unhealthy()].filter((text) => text !== undefined),
    ],
    networkError: () => runtimeStatus.networkError(),
    storageErrors: () => csi.problems(),
    pressures: () => ({ memory: false, disk: false, pid: false }),
    images: (s) => cri.listImages(s),
    volumesInUse: () => volumes.node.inUse(),
    declaredFeatures: [],
    hasDeviceState: false,
    isShuttingDown: () => false,
    cachedNode: () => known?.ownNode,
    event: nodeEvent,
    clock,
    log: room('node'),
  });
  const hostIps = (): string[] => hostIpsOf(nodeReporter.node()?.status?.addresses ?? [], config.nodeIps.ips);
  const deadlines = new ActiveDeadlines({ onDue: (uid) => workers.mark(uid), clock });
  const stopSignals = new StopSignalCheck({ events, log: room('execute') });
  const podReport = new PodReport({
    statuses,
    mirrorOf: (pod) => store.mirrorOf(pod),
    deadlines,
    resizes,
    probes,
    onStatus: (pod, old, status) => {
      why.statusChanged(pod, old, status);
      const seenMs = sinceSeenMs(pod);
      if (old?.phase === 'Pending' && status.phase === 'Running' && seenMs !== undefined) counts.podRuns(seenMs);
    },
    hostIps,
    runtimeName: () => runtimeName.value,
    hasRecursiveReadOnly: () => runtimeStatus.current?.handlers.some((one) => one.recursiveReadOnlyMounts) === true,
    hasStopSignals: config.hasStopSignals,
    terminationMessage: (uid, id) => messages.get(uid, id),
    events,
    clock,
    log: room('report'),
  });

  const sinceSeenMs = (pod: Pod): number | undefined => {
    const seenMs = Date.parse(pod.metadata.annotations?.[configSeenAnnotation] ?? '');
    return Number.isFinite(seenMs) ? clock.nowMs() - seenMs : undefined;
  };

  // ---- execute
  const userNamespaces = new UserNamespaces({
    range: machine.podIds,
    idsPerPod: config.idsPerPod,
    podDir: (uid) => join(config.rootDir, 'pods', uid),
    handlers: () => runtimeStatus.current?.handlers ?? [],
    log: room('security'),
  });
  const parts = new PodParts({
    clock,
    config,
    facts,
    machine: machine.size,
    mounts,
    mountedVolumes: (pod) => sync.mountedVolumes(uidOf(pod)),
    cgroupParent: (pod) => podCgroups.parentFor(pod),
    getConfigMap: (namespace, name, s) => objects.configMap(namespace, name, s),
    getSecret: (namespace, name, s) => objects.secret(namespace, name, s),
    services: async (s) => (known === undefined ? [] : known.readServices(s)),
    runtimeHandler: async ({ spec: { runtimeClassName: name } }, s) =>
      name === undefined || name === '' ? '' : (known?.runtimeHandler(name, s) ?? withoutApi(`RuntimeClass "${name}"`)),
    userNamespace: (pod, handler) => userNamespaces.of(pod, handler),
    runtimeStatus: () => runtimeStatus.current,
    hostIps,
    nodeAllocatable: () => allocatable,
    events,
    nodeEvent,
    log: room('execute'),
  });
  const runtime = new PodRuntime({
    cri,
    ensureImage: async (pod, container, sandbox, s) =>
      images.ensure(pod, container, sandbox, await readPullSecrets({ objects, events }, pod, s), s),
    ensureVolumeImage: async (pod, source, sandbox, s) =>
      images.ensureVolume(pod, source, sandbox, await readPullSecrets({ objects, events }, pod, s), s),
    runtimeName: () => `${runtimeName.value} ${runtimeName.version}`,
    sandboxParts: (pod, s) => parts.sandboxParts(pod, s),
    containerParts: (pod, container, context, s) => parts.containerParts(pod, container, context, s),
    resizePod: carryOut,
    told: (pod) => statuses.get(uidOf(pod)) ?? pod.status,
    onStarts: (pod, container) => resizes.starts(pod, container),
    onSandboxReady: (pod, sandbox) => {
      const uid = uidOf(pod);
      podReport.report(pod, observe.noteSandbox(uid, sandbox), { failures: sync.failures(uid), isEnding: false });
    },
    pacer: new StartPacer(paceFor(facts.cpuCount), clock),
    crashBackoff: new CrashBackoff(clock, config.crashLoopBackOffMaxMs),
    counts,
    events,
    phases: timeline,
    podLogsDir: config.podLogsDir,
    containerLogsDir,
    clock,
    log: room('execute'),
  });
  const weighQos = (s: AbortSignal): Promise<void> =>
    podCgroups.updateQos(
      store
        .list()
        .filter((pod) => workers.isActive(uidOf(pod)))
        .map((pod) => resizes.given(pod)),
      s,
    );

  // ---- dispatch
  const gates = { ContainerStopSignals: config.hasStopSignals };
  const refuseVolume = (pod: Pod): Rejection | undefined => {
    const message = volumes.refused(pod);
    return message === undefined ? undefined : { reason: 'PodFeatureUnsupported', message };
  };
  const sayRejected = (pod: Pod, { reason, message }: Rejection): void => {
    events.pod(pod, 'Warning', reason, message);
    timeline.note(pod, 'admitted', 'failed', `${reason}: ${message}`);
    counts.podRejected(reason);
  };
  const sync: PodSync = new PodSync({
    observe,
    runtime,
    report: (pod, observed, options) => {
      stopSignals.look(pod, observed);
      return podReport.report(pod, observed, options);
    },
    readMessages: (pod, seen, s) => messages.read(pod, seen, s),
    networkError: () => runtimeStatus.networkError(),
    onRejected: sayRejected,
    refuseEphemeral: (pod, container) => {
      const alone = onlyEphemeral(pod, container);
      return refuseEphemeral(container, gates) ?? refuseAppArmor(alone, facts) ?? refuseVolume(alone);
    },
    objects,
    volumes,
    cgroups: {
      isMissing: (pod) => podCgroups.isMissing(pod),
      ensure: async (pod, s) => {
        await podCgroups.ensure(pod, s);
        await weighQos(s);
      },
      remove: async (uid, s) => {
        await podCgroups.remove(uid, s);
        userNamespaces.release(uid); // nothing runs with these ids any more
      },
    },
    probes,
    resizes,
    events,
    phases: timeline,
    clock,
    log: room('dispatch'),
  });
  const stats = new KubeletStats({
    config,
    machine,
    podCgroups,
    pods: () => store.list(),
    mountedVolumes: (uid) => sync.mountedVolumes(uid),
    observed: (uid) => observe.get(uid),
    clock,
    log: room('stats'),
  });
  const workers: PodWorkers = new PodWorkers({
    sync: async (pod, interrupt, s) => {
      const isFirst = !sync.hadTurn(uidOf(pod));
      if (isFirst) stats.note(pod);
      if (isFirst) counts.firstTurn(pod.spec.containers.length, sinceSeenMs(pod));
      return await counts.turn(isFirst ? 'create' : 'sync', clock, async () =>
        why.turnEnded(pod, await sync.sync(pod, interrupt, s)),
      );
    },
    terminate: (state, s) => counts.turn('kill', clock, () => sync.terminate(state, s)),
    finish: (state, s) => sync.finish(state, s),
    graceOf: podGraceSeconds,
    resyncMs: config.syncPeriodMs,
    onFinished: (uid) => {
      why.finished(uid);
      statuses.mark(uid); // loop: the API may let go of the pod
      resizes.retry('pod_terminated');
      housekeeping.touch();
    },
    clock,
    log: room('dispatch'),
  });
  const intake: PodIntake = new PodIntake({
    workers,
    pods: () => store.list(),
    staticOf: (mirror) => store.staticOf(mirror),
    isRunning: (uid) => {
      const seen = observe.get(uid);
      return isRunning(seen) || seen?.sandboxes.some(({ isReady }) => isReady) === true || observe.isUnseen(uid);
    },
    node: () => nodeReporter.node(),
    readNode: (s) => known?.readNode(s) ?? Promise.resolve(undefined),
    forbidden: (pod) => {
      const why = sources.refusalOf(uidOf(pod));
      if (why !== undefined) return { reason: 'FailedValidation', message: `the pod is not valid: ${why}` };
      return refuseSysctls(pod, { allowedUnsafe: config.allowedUnsafeSysctls, kernelRelease: facts.kernelVersion });
    },
    unsupported: (asked) => {
      const pod = withoutEphemeral(asked);
      return (
        (pod.status?.phase === 'Pending' ? refuseAppArmor(pod, facts) : undefined) ??
        refuseUnsupported(pod, gates) ??
        refuseVolume(pod)
      );
    },
    preempt: async (pod, missing, s) => {
      counts.podPreempted(missing);
      events.pod(pod, 'Warning', preempted.reason, preempted.message);
      if (await workers.kill(pod, { isEviction: true, overrideStatus: preempted }, s)) return;
      if (!s.aborted) events.pod(pod, 'Warning', 'ExceededGracePeriod', exceededGracePeriod);
    },
    resizes,
    onAdmitted: (pod) => timeline.note(pod, 'admitted'),
    onRejected: (pod, rejection) => {
      sayRejected(pod, rejection);
      const { reason, message } = rejection;
      statuses.set(uidOf(pod), {
        phase: 'Failed',
        reason,
        message: `Pod was rejected: ${message}`,
        qosClass: podQos(pod),
        startTime: pod.status?.startTime ?? rfc3339Seconds(clock.nowMs()),
        ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
      });
    },
    onCopyChanged: (uid) => {
      const state = workers.state(uid);
      if (state?.phase === 'sync' && podReport.takesUpMirror(state.pod)) workers.mark(uid);
      else statuses.mark(uid);
      sources.markMirror(uid);
    },
    onEvicted: (uid) => housekeeping.collect(uid),
    onUpdated: (pod, old) => {
      volumes.markPod(uidOf(pod));
      for (const change of resourceChanges(old, pod)) counts.resizeWanted(change);
    },
    log: room('dispatch'),
  });
  const housekeeping: Housekeeping = new Housekeeping({
    store,
    workers,
    observe,
    cri,
    killer: new ContainerKiller({ cri, events, phases: timeline, clock, log: room('execute') }),
    volumes: {
      orphans: () => volumes.orphans(),
      unmount: (uid, s) => volumes.unmount(uid, s),
      removePodDir: async (uid, s) => {
        await volumes.removePodDir(uid, s);
        userNamespaces.release(uid); // of a pod that ended while nobody looked
      },
    },
    cgroups: podCgroups,
    deleteMirror: async (mirror, s) => sources.mirrors?.delete(mirror, s),
    isRejected: (uid) => intake.isRejected(uid),
    reported: () => statuses.uids(),
    forget: (uid) => {
      statuses.forget(uid);
      images.forget(uid);
      trust.forget(uid);
      messages.forget(uid);
      stopSignals.forget(uid);
      sync.forget(uid);
      deadlines.forget(uid);
      podReport.forget(uid);
      resizes.forget(uid);
      probes.removePod(uid);
      stats.forget(uid);
      why.gone(uid);
    },
    garbage: config.containerGarbage,
    podLogsDir: config.podLogsDir,
    containerLogsDir,
    clock,
    log: room('housekeeping'),
  });

  // ---- start
  await volumes.prepareRoot(signal);
  const probe = join(config.rootDir, 'noswap-probe');
  await warnOfSwap({ swapBytes: facts.swapBytes, probe, mounts, nodeEvent }, signal);
  await volumes.node.reconstruct(signal);
  known?.node.addHandlers({ onAdd: () => volumes.node.nodeChanged(), onUpdate: () => volumes.node.nodeChanged() });
  await images.open();
  await userNamespaces.load(await volumes.orphans());
  await why.open();
  await podCgroups.ensureTree(signal);
  await enforceReserved({ cgroups: driver.reserved, names: driver.names, event: nodeEvent }, config, signal);
  await Promise.all(records.map((one) => one.load()));
  machine.size.hasSwapController = await machine.cgroups.hasSwapLimit(podCgroups.topPath);
  await host.setOwnOomScoreAdj(config.oomScoreAdj).catch((err: unknown) => {
    log.warn({ reason: describeError(err) }, 'the kubelet is not protected from the out-of-memory killer');
  });
  machine.size.oomScoreFloor = await host.oomScoreFloor();
  if (machine.size.oomScoreFloor !== undefined) {
    const lowest = machine.size.oomScoreFloor;
    log.warn({ lowest }, 'without CAP_SYS_RESOURCE containers get no lower oom_score_adj than this');
  }
  for (const problem of await hostResolverProblems(config.resolvConfPath, config.clusterDomain !== '')) {
    nodeEvent('Warning', 'CheckLimitsForResolvConf', problem);
  }
  const server = await makeServer({
    config,
    api: client,
    store,
    statuses,
    observe,
    cri,
    logs,
    probes,
    why,
    counts,
    workers,
    resizes,
    stats,
    cgroupVersion: machine.cgroups.version,
    meter,
    startedMs,
    clock,
    log: room('serve'),
  });
  const health =
    config.healthz.port === 0 ? undefined : new HealthServer({ ...config.healthz, clock, log: room('serve') });
  const service = openServiceManager(clock, room('node'));
  let hasLooked = false; // a runtime that comes late is no reason to start again
  void observe.firstLook.then(() => (hasLooked = true));
  log.info(
    {
      node: nodeName,
      rootDir: config.rootDir,
      runtime: config.containerRuntimeEndpoint,
      cgroups: `v${machine.cgroups.version}`,
      cgroupDriver: driver.name,
      podLogs: join(config.podLogsDir),
    },
    'kubelet starts',
  );

  /**
   * Sources speak only when the runtime has been looked at, since what runs already must not be started twice, and when
   * there is a node to ask whether pods fit.
   */
  const whenReady = async (s: AbortSignal): Promise<void> => {
    await Promise.race([observe.firstLook, aborted(s)]);
    while (nodeReporter.node() === undefined && !s.aborted) await clock.sleep(nodeWaitMs, s);
  };
  const always = [
    observe,
    runtimeStatus,
    workers,
    intake,
    deadlines,
    statuses,
    volumes,
    volumes.node,
    csi,
    plugins,
    images,
    makeImageCollector({ config, cri, host, observe, nodeEvent, counts, clock, log: room('images') }),
    objects,
    ...trust.parts,
    probes,
    resizes,
    ...records,
    housekeeping,
    nodeReporter,
    logs,
    stats,
    why,
  ];
  const withApi =
    client === undefined
      ? []
      : [
          known?.services,
          known?.csiDrivers,
          known?.node,
          recorder,
          new NodeLease({
            api: sideApi ?? client,
            nodeName,
            durationSeconds: config.nodeLeaseDurationSeconds,
            clock,
            log: room('node'),
          }),
        ].filter((part) => part !== undefined);
  try {
    await runTogether(signal, [
      ...[...always, ...withApi, server, health]
        .filter((part) => part !== undefined)
        .map((part) => (s: AbortSignal) => part.run(s)),
      (s) => watchDriver({ cri, clock }, driver.name, s),
      (s) => service.run(() => (hasLooked ? observe.unhealthy() : undefined), s),
      (s) => sources.run(whenReady, s),
      async (s) => {
        const periodMs = config.syncPeriodMs;
        await runLoop(weighQos, { periodMs, clock, log: room('resources') }, s);
      },
    ]);
  } finally {
    cri.close();
    meter.close();
  }
}
