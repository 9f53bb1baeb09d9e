/** `gantry kube-scheduler`: flags → informers → scheduler, until the process is asked to stop. */
import { Command } from 'commander';
import { systemClock } from '../base/clock.ts';
import { runTogether } from '../base/run-together.ts';
import { EventRecorder } from '../client/event-recorder.ts';
import {
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  volumeAttachments,
} from '../client/resource-types.ts';
import { SharedInformers } from '../client/shared-informers.ts';
import { Scheduler } from '../scheduler/scheduler.ts';
import { type ProcessOptions, addProcessFlags, runProcess } from './control-plane-process.ts';

const schedulerName = 'default-scheduler';

export async function run(args: readonly string[]): Promise<void> {
  const command = addProcessFlags(new Command('kube-scheduler'), { qps: 50, burst: 100 })
    .description('gives every pod that has none a node')
    .allowExcessArguments(false);
  const options = command.parse([...args], { from: 'user' }).opts<ProcessOptions>();
  await runProcess('kube-scheduler', options, async (client, log, signal) => {
    const clock = systemClock;
    const informers = new SharedInformers({ client, clock, log });
    const limited = client.withLimit(options.kubeApiQps, options.kubeApiBurst);
    const events = new EventRecorder({ client: limited, component: schedulerName, clock, log });
    const scheduler = new Scheduler({
      pods: informers.of(pods),
      nodes: informers.of(nodes),
      namespaces: informers.of(namespaces),
      storage: {
        claims: informers.of(persistentVolumeClaims),
        volumes: informers.of(persistentVolumes),
        classes: informers.of(storageClasses),
        csiNodes: informers.of(csiNodes),
        csiDrivers: informers.of(csiDrivers),
        capacities: informers.of(csiStorageCapacities),
        attachments: informers.of(volumeAttachments),
      },
      client: limited,
      events,
      clock,
      log,
      schedulerName,
    });
    await runTogether(signal, [
      (inner) => informers.run(inner),
      (inner) => events.run(inner),
      (inner) => scheduler.run(inner),
    ]);
  });
}
