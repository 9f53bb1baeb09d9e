/** HorizontalPodAutoscalers are stored as autoscaling/v2; v1 sees the one metric that it knows. */
import { type ApiObject, type JsonObject, isJsonObject, listAt, objectAt, textAt, valueAt } from './api-object.ts';
import type { Conversion } from './resource.ts';

const isCpuUtilization = (metric: unknown): boolean =>
  textAt(metric, 'type') === 'Resource' &&
  textAt(metric, 'resource', 'name') === 'cpu' &&
  textAt(metric, 'resource', 'target', 'type') === 'Utilization';

export const autoscalerConversion: Conversion = {
  storedGroupVersion: 'autoscaling/v2',

  fromStored(object) {
    const { metrics: _metrics, behavior: _behavior, ...spec } = objectAt(object, 'spec');
    const { currentMetrics: _currentMetrics, conditions: _conditions, ...status } = objectAt(object, 'status');
    const target = listAt(object, 'spec', 'metrics').find(isCpuUtilization);
    const current = listAt(object, 'status', 'currentMetrics').find(
      (metric) => textAt(metric, 'resource', 'name') === 'cpu',
    );
    return {
      ...object,
      apiVersion: 'autoscaling/v1',
      spec: withNumber(
        spec,
        'targetCPUUtilizationPercentage',
        valueAt(target, 'resource', 'target', 'averageUtilization'),
      ),
      status: withNumber(
        status,
        'currentCPUUtilizationPercentage',
        valueAt(current, 'resource', 'current', 'averageUtilization'),
      ),
    };
  },

  /** What v1 cannot say is kept as it was. */
  toStored(object, old): ApiObject {
    const { targetCPUUtilizationPercentage, ...spec } = objectAt(object, 'spec');
    const { currentCPUUtilizationPercentage: _current, ...status } = objectAt(object, 'status');
    const others = listAt(old, 'spec', 'metrics').filter((metric) => !isCpuUtilization(metric));
    const averageUtilization = targetCPUUtilizationPercentage ?? (others.length === 0 ? 80 : undefined);
    const cpu =
      averageUtilization === undefined
        ? []
        : [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization } } }];
    const behavior = valueAt(old, 'spec', 'behavior');
    const { currentMetrics, conditions } = objectAt(old ?? {}, 'status');
    return {
      ...object,
      apiVersion: 'autoscaling/v2',
      spec: { ...spec, metrics: [...others, ...cpu], ...(isJsonObject(behavior) ? { behavior } : {}) },
      status: {
        ...status,
        ...(currentMetrics === undefined ? {} : { currentMetrics }),
        ...(conditions === undefined ? {} : { conditions }),
      },
    };
  },
};

function withNumber(object: JsonObject, field: string, value: unknown): JsonObject {
  return typeof value === 'number' ? { ...object, [field]: value } : object;
}
