// Holds objects against the types of KEDA and of Prometheus' operator: a JSON list of objects on standard input, a JSON
// list of faults on standard output. Each type brings the CRD's own schema, which lets unknown fields pass.
import { text } from "node:stream/consumers";
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1";
import * as prometheus from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";

const types = {
  "keda.sh/v1alpha1": keda,
  "monitoring.coreos.com/v1": prometheus,
};

const faults = [];
for (const object of JSON.parse(await text(process.stdin))) {
  const type = types[object.apiVersion]?.[object.kind];
  const name = `${object.kind} ${object.metadata?.name}`;
  if (!type) {
    faults.push(`${name}: no type ${object.apiVersion} ${object.kind}`);
    continue;
  }
  try {
    new type(object).validate();
  } catch (error) {
    faults.push(`${name}: ${error.message}`);
  }
}
console.log(JSON.stringify(faults));
