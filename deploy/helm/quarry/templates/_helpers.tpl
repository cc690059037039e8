{{/* The release's name, and the chart's behind it where the release is called otherwise. Short enough for "-preprocessor". */}}
{{- define "quarry.fullname" -}}
{{- $name := include "quarry.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The chart's name, as labels have it. */}}
{{- define "quarry.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* What selects the release's pods; with a component, those of one service. */}}
{{- define "quarry.selector" -}}
app.kubernetes.io/name: {{ include "quarry.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "quarry.labels" -}}
{{ include "quarry.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* One map over another, key by key. mergeOverwrite would not do: to it false, 0 and "" are nothing. As JSON. */}}
{{- define "quarry.merged" -}}
{{- $merged := deepCopy .under -}}
{{- range $key, $value := .over -}}
{{- $below := get $merged $key -}}
{{- if and (kindIs "map" $value) (kindIs "map" $below) -}}
{{- $value = include "quarry.merged" (dict "under" $below "over" $value) | fromJson -}}
{{- end -}}
{{- $_ := set $merged $key $value -}}
{{- end -}}
{{- toJson $merged -}}
{{- end -}}

{{/* The services that run in this release: name to values, with the queues that each reads (docs/operations.md). As JSON. */}}
{{- define "quarry.services" -}}
{{- $queues := dict "preprocessor" (list "manifests" "slices") "scheduler" (list "scheduler" "events" "on-demand") "collector" (list "collector") -}}
{{- $services := dict -}}
{{- range $name, $reads := $queues -}}
{{- $service := include "quarry.merged" (dict "under" $.Values.defaults "over" (index $.Values $name)) | fromJson -}}
{{- if $service.enabled -}}
{{- $account := $service.serviceAccount.name | default (printf "%s-%s" (include "quarry.fullname" $) $name) -}}
{{- $_ := set $service "accountName" $account -}}
{{- $_ := set $service "queues" $reads -}}
{{- $_ := set $services $name $service -}}
{{- end -}}
{{- end -}}
{{- toJson $services -}}
{{- end -}}

{{/* The image of a service or of the command: a whole reference where there is one, else made of `image`. */}}
{{- define "quarry.image" -}}
{{- if .whole -}}
{{- .whole -}}
{{- else -}}
{{- $image := .root.Values.image -}}
{{- with $image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.prefix }}{{ .name }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "quarry.imagePullSecrets" -}}
{{- $names := .Values.image.pullSecrets -}}
{{- range .Values.imagePullSecrets -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- with uniq $names }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What Kubernetes' restricted standard asks of a pod, and more. The images' user is 10001. */}}
{{- define "quarry.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "quarry.securityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Where everything is, as variables. The user's queue is named for one manifest. */}}
{{- define "quarry.environment" -}}
{{- $config := .Values.config -}}
QUARRY_ENV: {{ $config.env | quote }}
QUARRY_REGION: {{ $config.region | quote }}
QUARRY_BUCKET: {{ $config.bucket | quote }}
QUARRY_TABLE: {{ $config.table | quote }}
QUARRY_BEDROCK_ROLE_ARN: {{ $config.bedrockRoleArn | quote }}
QUARRY_JOB_QUOTA: {{ $config.jobQuota | int | quote }}
{{- if hasKey $config "onDemand" }}
QUARRY_ON_DEMAND: {{ $config.onDemand | quote }}
{{- end }}
{{- with $config.promptTextDays }}
QUARRY_PROMPT_TEXT_DAYS: {{ . | int | quote }}
{{- end }}
{{- with $config.jobTags }}
{{- $tags := list }}
{{- range $key, $value := . }}
{{- $tags = append $tags (printf "%s=%s" $key $value) }}
{{- end }}
QUARRY_JOB_TAGS: {{ join "," $tags | quote }}
{{- end }}
{{- with $config.budgetUsd }}
QUARRY_BUDGET_USD: {{ . | quote }}
{{- end }}
{{- if $config.readBatchMetrics }}
QUARRY_READ_BATCH_METRICS: "true"
{{- end }}
QUARRY_EVENT_TARGET_DLQ_URL: {{ $config.eventTargetDlqUrl | quote }}
{{- range $name, $queue := $config.queues }}
{{- $variable := eq $name "manifests" | ternary "MANIFEST" (upper $name | replace "-" "_") }}
QUARRY_{{ $variable }}_QUEUE_URL: {{ $queue.url | quote }}
QUARRY_{{ $variable }}_DLQ_URL: {{ $queue.dlqUrl | quote }}
{{- end }}
{{- end -}}

{{/* What a scrape says of a target: job and env, as the rules and dashboards ask. */}}
{{- define "quarry.relabelings" -}}
- sourceLabels: [__meta_kubernetes_pod_label_app_kubernetes_io_component]
  regex: (.+)
  replacement: quarry-$1
  targetLabel: job
- replacement: {{ .Values.config.env | quote }}
  targetLabel: env
{{- with .Values.monitoring.cluster }}
- replacement: {{ . | quote }}
  targetLabel: cluster
{{- end }}
{{- end -}}

{{- /* A file that ships, with its links to the runbook: the page by its path in the repository, or where it is read. */ -}}
{{- define "quarry.linked" -}}
{{- $read := .root.Values.monitoring.runbookUrl -}}
{{- if $read -}}
{{- .text | replace "docs/runbook.md" $read -}}
{{- else -}}
{{- .text -}}
{{- end -}}
{{- end -}}
