{# Whether a sale can have been made when it says. It cannot be known before it was made; a day is allowed for, since
   a date without a time may be of any time zone. #}
{% macro has_valid_sale_date() %}
    sale_date >= cast('{{ var("first_sale_date") }} 00:00:00+00:00' as {{ type_instant() }})
    and sale_date <= {{ add_minutes('_ingested_at', 24 * 60) }}
{%- endmacro %}

{# What was paid for a sale, to the cent. Some exports book what was given back as a positive amount. #}
{% macro sale_revenue(unit_price) %}
    cast(
        round(
            case
                when amount is not null and quantity < 0 then -abs(amount)
                when amount is not null then amount
                else quantity * {{ unit_price }}
            end,
            2
        ) as {{ type_money() }}
    )
{%- endmacro %}
