resource "google_service_account" "this" {
  for_each = var.accounts

  project      = var.project_id
  account_id   = "${var.prefix}-${each.key}"
  display_name = "${var.prefix} ${each.key}"
  description  = each.value.description
}

resource "google_project_iam_member" "accounts" {
  for_each = merge([
    for key, account in var.accounts : {
      for role in account.project_roles : "${key} ${role}" => { account = key, role = role }
    }
  ]...)

  project = var.project_id
  role    = each.value.role
  member  = google_service_account.this[each.value.account].member
}

resource "google_project_iam_member" "members" {
  for_each = merge([
    for role, members in var.project_members : {
      for key, member in members : "${key} ${role}" => { role = role, member = member }
    }
  ]...)

  project = var.project_id
  role    = each.value.role
  member  = each.value.member
}

resource "google_service_account_iam_member" "users" {
  for_each = merge([
    for key, account in var.accounts : {
      for name, member in account.users : "${key} ${name}" => { account = key, member = member }
    }
  ]...)

  service_account_id = google_service_account.this[each.value.account].name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value.member
}

resource "google_service_account_iam_member" "account_users" {
  for_each = merge([
    for key, account in var.accounts : {
      for user in account.account_users : "${key} ${user}" => { account = key, user = user }
    }
  ]...)

  service_account_id = google_service_account.this[each.value.account].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.this[each.value.user].member
}

resource "google_service_account_iam_member" "workloads" {
  for_each = merge([
    for key, account in var.accounts : {
      for name, member in account.workload_identities : "${key} ${name}" => { account = key, member = member }
    }
  ]...)

  service_account_id = google_service_account.this[each.value.account].name
  role               = "roles/iam.workloadIdentityUser"
  member             = each.value.member
}
