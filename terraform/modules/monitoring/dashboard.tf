locals {
  charts = concat(
    [
      for each in concat(
        [local.thresholds.system_lag, local.thresholds.data_freshness],
        length(var.subscriptions) > 0 ? [local.backlogs.backlog_age] : [],
        length(var.forwarding) > 0 ? [local.forwarded.undeliverable] : [],
        ) : {
        title = each.title
        query = {
          timeSeriesFilter = {
            filter = each.filter
            aggregation = {
              alignmentPeriod  = "60s"
              perSeriesAligner = each.aligner
            }
          }
        }
      }
    ],
    [
      {
        title = local.queries.failed_loads.title
        query = { prometheusQuery = "sum(increase(${local.failed_loads}[10m]))" }
      }
    ],
    [
      for title, figures in {
        "Records" = ["read", "accepted", "duplicates", "rejected"]
        "Loaded"  = ["loaded", "load_rejected"]
        } : {
        title = title
        query = {
          prometheusQuery = join(" or ", [
            for figure in figures : "label_replace(sum(rate(${local.counted[figure]}[5m])), \"figure\", \"${figure}\", \"\", \"\")"
          ])
        }
      }
    ],
  )
}

resource "google_monitoring_dashboard" "this" {
  project = var.project_id

  dashboard_json = jsonencode({
    displayName = var.name
    mosaicLayout = {
      columns = 48
      tiles = [
        for index, chart in local.charts : {
          xPos   = index % 2 * 24
          yPos   = floor(index / 2) * 16
          width  = 24
          height = 16
          widget = {
            title = chart.title
            xyChart = {
              dataSets = [{ plotType = "LINE", timeSeriesQuery = chart.query }]
            }
          }
        }
      ]
    }
  })
}
