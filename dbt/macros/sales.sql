{# Whether a sale can have been made when it says. #}
{% macro has_valid_sale_date() %}
    {{- is_possible('sale_date', var('first_sale_date')) -}}
{% endmacro %}

{# Whether a sale was taken back: exports show it by a negative quantity, a negative amount, or both. #}
{% macro is_return() -%}
    (quantity < 0 or coalesce(amount, 0) < 0)
{%- endmacro %}

{# What was paid for a sale, to the cent. Returns are negative, however they were booked. #}
{% macro sale_revenue(unit_price) %}
    cast(
        round(
            case
                when amount is not null and {{ is_return() }} then -abs(amount)
                when amount is not null then amount
                else quantity * {{ unit_price }}
            end,
            2
        ) as {{ type_money() }}
    )
{%- endmacro %}
