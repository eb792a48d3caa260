#!/bin/bash
# What the official image does with KAFKA_…, and, under the name of Kafka's script, the check whether the broker answers.
set -euo pipefail
java=(/opt/java/bin/java -Xmx256m -cp '/opt/kafka/libs/*')
if [ "$(basename "$0")" = kafka-broker-api-versions.sh ]; then
  exec "${java[@]}" kafka.admin.BrokerApiVersionsCommand "$@"
fi
settings=/tmp/server.properties
for name in "${!KAFKA_@}"; do
  key="${name#KAFKA_}" key="${key,,}"
  printf '%s=%s\n' "${key//_/.}" "${!name}"
done >"$settings"
echo "log.dirs=/tmp/kafka-logs" >>"$settings"
"${java[@]}" kafka.tools.StorageTool format --cluster-id 5L6g3nShT-eMCtK--X86sw --config "$settings" --ignore-formatted
exec "${java[@]}" kafka.Kafka "$settings"
