{{- /* Names and labels are those of the chart that users know, so that one release can go on with the other chart. */}}
{{- define "spacelift-promex.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "spacelift-promex.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- $full | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "spacelift-promex.selectorLabels" -}}
app.kubernetes.io/name: {{ include "spacelift-promex.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "spacelift-promex.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "spacelift-promex.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "spacelift-promex.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "spacelift-promex.port" -}}
{{- regexFind "[0-9]+$" .Values.listenAddress }}
{{- end }}

{{- define "spacelift-promex.serviceAccount" -}}
{{- $default := ternary (include "spacelift-promex.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $default .Values.serviceAccount.name }}
{{- end }}

{{- /* Decisions: not empty means yes. */}}
{{- define "spacelift-promex.onOpenShift" -}}
{{- if eq (toString .Values.openshift.enabled) "auto" }}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" }}yes{{ end }}
{{- else if .Values.openshift.enabled }}yes{{ end }}
{{- end }}

{{- /* Values that are missing or can't be meant together, each with what to do. */}}
{{- define "spacelift-promex.check" -}}
{{- if not .Values.apiEndpoint }}
{{- fail "spacelift-promex: apiEndpoint: must include apiEndpoint in values, such as https://account.app.example.com" }}
{{- end }}
{{- if not .Values.apiKeyId }}
{{- fail "spacelift-promex: apiKeyId: must include apiKeyId in values" }}
{{- end }}
{{- if and (not .Values.apiKeySecretName) (not .Values.oidc.enabled) }}
{{- fail "spacelift-promex: apiKeySecretName: must include apiKeySecretName in values, or set oidc.enabled for an API key that trusts the cluster" }}
{{- end }}
{{- if and .Values.apiKeySecretName .Values.oidc.enabled }}
{{- fail "spacelift-promex: oidc.enabled: the token takes the place of apiKeySecretName; give one of both" }}
{{- end }}
{{- if and .Values.caCert.enabled (not .Values.caCert.secretName) }}
{{- fail "spacelift-promex: caCert.secretName: required with caCert.enabled" }}
{{- end }}
{{- end }}
