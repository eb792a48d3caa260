{# The events of an order as they followed each other: by time, then by how far the order has come. Of events that have
   both in common, the order of the event log decides: the number of the segment, then the line in it. #}
{% macro order_of_events(direction='') -%}
    {%- for key in ['order_date', 'status_number', 'length(segment_path)', 'segment_path', '_ingested_at'] -%}
        {{ key ~ direction }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
