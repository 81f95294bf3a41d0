{{- /* Names. The default release name gives those of manifests/. */}}
{{- define "workerpool.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "workerpool.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- $full | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* The name of a Service can't be longer than 63 characters. */}}
{{- define "workerpool.hookService" -}}
{{- printf "%s-webhook-service" (include "workerpool.fullname" . | trunc 47 | trimSuffix "-") }}
{{- end }}

{{- define "workerpool.metricsService" -}}
{{- printf "%s-metrics-service" (include "workerpool.fullname" . | trunc 47 | trimSuffix "-") }}
{{- end }}

{{- define "workerpool.serviceAccount" -}}
{{- $default := printf "%s-controller-manager" (include "workerpool.fullname" .) }}
{{- if and (not .Values.controllerManager.serviceAccount.create) (not .Values.controllerManager.serviceAccount.name) }}
{{- fail "controllerManager.serviceAccount.name: needed with create: false, it says which account is used" }}
{{- end }}
{{- default $default .Values.controllerManager.serviceAccount.name }}
{{- end }}

{{- define "workerpool.hookSecret" -}}
{{- default (printf "%s-hooks" (include "workerpool.fullname" .)) .Values.hooks.credentialsSecret }}
{{- end }}

{{- define "workerpool.priorityClass" -}}
{{- $default := ternary (include "workerpool.fullname" .) "" .Values.controllerManager.priorityClass.create }}
{{- default $default .Values.controllerManager.priorityClass.name }}
{{- end }}

{{- /* Labels. */}}
{{- define "workerpool.nameLabels" -}}
app.kubernetes.io/name: {{ include "workerpool.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* A Deployment's can never change: they are those that releases of this name have had before. */}}
{{- define "workerpool.selectorLabels" -}}
control-plane: controller-manager
{{ include "workerpool.nameLabels" . }}
{{- end }}

{{- define "workerpool.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "workerpool.nameLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- /* Whom a binding binds. */}}
{{- define "workerpool.subjects" -}}
- kind: ServiceAccount
  name: {{ include "workerpool.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- define "workerpool.image" -}}
{{- $image := .Values.controllerManager.manager.image }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- $default := printf "%s%s" .Chart.AppVersion (ternary "-fips" "" .Values.controllerManager.enforceFips140) }}
{{- printf "%s:%s" $image.repository (default $default $image.tag) }}
{{- end }}
{{- end }}

{{- /* Decisions: not empty means yes. */}}
{{- define "workerpool.keepsCredentials" -}}
{{- if and .Values.hooks.tls (not .Values.hooks.certificateDir) }}yes{{ end }}
{{- end }}

{{- define "workerpool.asksForToken" -}}
{{- if eq (toString .Values.hooks.token) "auto" }}
{{- if not .Values.controllerManager.namespaces }}yes{{ end }}
{{- else if .Values.hooks.token }}yes{{ end }}
{{- end }}

{{- define "workerpool.onOpenShift" -}}
{{- if eq (toString .Values.openshift.enabled) "auto" }}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" }}yes{{ end }}
{{- else if .Values.openshift.enabled }}yes{{ end }}
{{- end }}

{{- /* Values that can't be meant together, each with what to do instead. */}}
{{- define "workerpool.check" -}}
{{- $hooks := .Values.hooks }}
{{- range $name, $budget := dict "pdb" .Values.pdb "controllerManager.pdb" .Values.controllerManager.pdb }}
{{- if and $budget.enabled (eq (kindIs "invalid" $budget.minAvailable) (kindIs "invalid" $budget.maxUnavailable)) }}
{{- fail (printf "%s: set one of minAvailable and maxUnavailable, and the other to null" $name) }}
{{- end }}
{{- end }}
{{- if and (not $hooks.tls) (or $hooks.certificateDir $hooks.tokenFile $hooks.endpointConfigs (eq (toString $hooks.token) "true")) }}
{{- fail "hooks.tls: a certificate or token needs TLS; set hooks.tls to true, or leave them out" }}
{{- end }}
{{- if and $hooks.tokenFile (not $hooks.certificateDir) }}
{{- fail "hooks.tokenFile: needs hooks.certificateDir; without it the operator keeps a token of its own (hooks.token)" }}
{{- end }}
{{- if and $hooks.certificateDir (eq (toString $hooks.token) "true") }}
{{- fail "hooks.token: with hooks.certificateDir, name the token's file in hooks.tokenFile" }}
{{- end }}
{{- if and $hooks.certificateDir .Values.metacontroller.controllers (not $hooks.endpointConfigs) }}
{{- fail "hooks.endpointConfigs: needed with hooks.certificateDir, else Metacontroller doesn't know which authority to trust" }}
{{- end }}
{{- if and $hooks.endpointConfigs (not $hooks.certificateDir) }}
{{- fail "hooks.endpointConfigs: needs hooks.certificateDir; without it the operator writes them itself" }}
{{- end }}
{{- if and (gt (int .Values.controllerManager.replicas) 1) (not (has "--leader-elect" .Values.controllerManager.manager.args)) (not (has "--leader-elect" .Values.controllerManager.manager.extraArgs)) }}
{{- fail "controllerManager.replicas: more than one needs --leader-elect in controllerManager.manager.args" }}
{{- end }}
{{- if and .Values.metricsService.serviceMonitor.enabled (not .Values.metricsService.enabled) }}
{{- fail "metricsService.serviceMonitor.enabled: needs metricsService.enabled" }}
{{- end }}
{{- /* A real cluster serves its aggregator's API; `helm template` knows of none. */}}
{{- if and .Values.metacontroller.controllers (.Capabilities.APIVersions.Has "apiregistration.k8s.io/v1") (not (.Capabilities.APIVersions.Has "metacontroller.k8s.io/v1alpha1")) }}
{{- fail "Metacontroller isn't installed in this cluster: install it first (docs/install.md), 4.17.2 or newer" }}
{{- end }}
{{- end }}
