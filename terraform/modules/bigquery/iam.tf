# Single members only: a binding or a policy of a dataset would take its authorised views away again.

resource "google_bigquery_dataset_iam_member" "this" {
  for_each = merge([
    for role, members in var.iam : {
      for key, member in members : "${role} ${key}" => { role = role, member = member }
    }
  ]...)

  project    = var.project_id
  dataset_id = google_bigquery_dataset.this.dataset_id
  role       = each.value.role
  member     = each.value.member
}

resource "google_bigquery_table_iam_member" "this" {
  for_each = merge(flatten([
    for table, roles in var.table_iam : [
      for role, members in roles : {
        for key, member in members : "${table} ${role} ${key}" => { table = table, role = role, member = member }
      }
    ]
  ])...)

  project    = var.project_id
  dataset_id = google_bigquery_dataset.this.dataset_id
  table_id   = google_bigquery_table.this[each.value.table].table_id
  role       = each.value.role
  member     = each.value.member
}

resource "google_bigquery_dataset_access" "views" {
  for_each = merge([
    for key, dataset in var.authorized_by : {
      for view in keys(var.views) : "${key} ${view}" => { dataset = dataset, view = view }
    }
  ]...)

  project    = var.project_id
  dataset_id = each.value.dataset

  view {
    project_id = var.project_id
    dataset_id = google_bigquery_dataset.this.dataset_id
    table_id   = google_bigquery_table.views[each.value.view].table_id
  }
}
