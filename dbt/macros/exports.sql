{# The words of exports as they followed each other: by the time of the file, its address, and the place in it. Of
   sources without files and places, such as an API, the order of the event log decides. #}
{% macro order_of_exports(direction='') -%}
    {%- for key in ['_arrived_at', '_source', '_position', '_ingested_at'] -%}
        {{ key ~ direction }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
